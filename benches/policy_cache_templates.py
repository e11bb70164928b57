"""The templates that pairs for the semantic cache are made from: families of requests in English and Chinese.

All templates of a family ask the same once their slots are filled alike. They were written for how people ask, and
some of each family (the looser ones) are beyond what the guard's lists know; those can only cost hits. ``{do}`` is an
action with an opposite, ``flips`` are the slots whose change changes the answer, ``swaps`` the pair of slots that turn
it round.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Requests that ask the same where their slots are the same."""

    name: str
    language: str
    templates: tuple[str, ...]
    flips: tuple[str, ...]
    """Slots whose change makes it another request."""
    swaps: tuple[str, str] | None = None
    """Two slots whose exchange makes it another request."""
    siblings: tuple[str, ...] = ()
    """Families with the same slots that ask something else."""


ACTIONS = {
    "en": (
        (("turn on", "enable", "switch on", "activate"), ("turn off", "disable", "switch off", "deactivate")),
        (("start", "begin"), ("stop", "halt")),
        (("increase", "raise", "turn up"), ("decrease", "reduce", "lower")),
        (("install",), ("uninstall",)),
        (("allow", "permit"), ("block",)),
        (("mute", "silence"), ("unmute",)),
        (("link", "connect"), ("unlink", "disconnect")),
        (("upload",), ("download",)),
        (("open",), ("close",)),
        (("lock",), ("unlock",)),
        (("subscribe to",), ("unsubscribe from", "opt out of")),
        (("export",), ("import",)),
        (("hide",), ("show", "display")),
        (("add",), ("remove", "delete", "get rid of")),
    ),
    "zh": (
        (("打开", "开启", "启用"), ("关闭", "关掉", "停用")),
        (("开始",), ("停止", "终止")),
        (("增加", "提高", "调高"), ("减少", "降低", "调低")),
        (("安装",), ("卸载",)),
        (("允许", "准许"), ("禁止",)),
        (("上传",), ("下载",)),
        (("绑定", "关联"), ("解绑", "解除绑定")),
        (("导出",), ("导入",)),
        (("购买", "买"), ("出售", "卖掉")),
        (("锁定",), ("解锁",)),
        (("订阅",), ("退订",)),
        (("创建", "新建"), ("删除", "删掉")),
    ),
}

SLOTS = {
    "en": {
        "thing": (
            "dark mode|two-factor authentication|push notifications|the camera|location sharing|automatic backups|"
            "the alarm|bluetooth|airplane mode|screen rotation|email alerts|voice control|the heating|the microphone|"
            "parental controls|auto-renewal|the firewall|subtitles|battery saver|guest access|the VPN|spell check|"
            "the newsletter|roaming|data sync|the garden lights|read receipts|pop-ups|the sprinkler|cruise control|"
            "the trial|night light|face unlock|contact sync|the proxy|caller id|sound effects|the dishwasher"
        ),
        "name": (
            "Alice|Bob|Maria|Chen Wei|Priya|Tom|Fatima|Lars|Yuki|Omar|Elena|Sam|Nadia|Peter|Ingrid|Ravi|Hannah|Diego|"
            "Mei|Oskar|my landlord|my sister|the electrician|John Smith"
        ),
        "city": (
            "Boston|Denver|Paris|London|Tokyo|Berlin|Madrid|Lisbon|Chicago|Oslo|Vienna|Prague|Dublin|Milan|Athens|"
            "Seattle|Toronto|Sydney|Mumbai|Cairo|Lima|Warsaw|Helsinki|Zurich"
        ),
        "country": (
            "France|Peru|Japan|Kenya|Norway|Brazil|Canada|Egypt|Poland|Chile|Vietnam|Greece|Turkey|Cuba|Nepal|Ghana|"
            "Ireland|Mexico|Thailand|Spain|Morocco|Finland|Austria|Iceland"
        ),
        "fact": "capital|population|currency|area|official language|national anthem|climate|time zone|gdp|president",
        "product": (
            "the Pro plan|a day pass|the family ticket|express shipping|the annual membership|a replacement card|"
            "the premium tier|an oil change|a window seat|the basic package|a gym pass|a visa application|"
            "the student licence|gift wrapping|an eye test|the city tour|a parking permit|extra luggage"
        ),
        "place": (
            "the museum|the library|the swimming pool|the post office|the pharmacy|the zoo|the bakery|the town hall|"
            "the gym|the cinema|the castle|the market|the clinic|the bank|the bookshop|the garage|the ice rink"
        ),
        "item": (
            "a jacket|shoes|a laptop|a phone case|an opened game|a mattress|headphones|a gift card|a sale item|a dress|"
            "a toaster|a book|a watch|a bike|furniture|a camera lens|a lamp|a blender"
        ),
        "language": "French|German|Spanish|Japanese|Arabic|Polish|Dutch|Korean|Swedish|Hindi|Portuguese|Greek",
        "phrase": (
            '"good morning"|"where is the station"|"thank you"|"see you tomorrow"|"I am lost"|"the bill please"|'
            '"happy birthday"|"how are you"|"no smoking"|"well done"|"keep left"|"cheers"'
        ),
        "task": (
            "call the dentist|water the plants|take my pills|pay the rent|feed the cat|send the report|buy milk|"
            "pick up the kids|renew my passport|check the oven|book the hotel|return the keys|charge the car"
        ),
        "unit": "miles|kilometers|pounds|kilograms|feet|meters|inches|centimeters|gallons|liters|ounces|grams",
        "day": "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday",
        "n": "2|3|5|7|12|15|20|25|40|100|250|1000|1500|5000|20000",
        "date": "3-5|3-6|7-14|7-24|12-1|12-11|1-30|10-3|5-21|9-9",
        "time": "7|8|9|10|13|15|17|18|19|20|21",
    },
    "zh": {
        "thing": (
            "深色模式|双重认证|推送通知|摄像头|位置共享|自动备份|闹钟|蓝牙|飞行模式|自动旋转|邮件提醒|语音控制|暖气|麦克风|"
            "家长控制|自动续费|防火墙|字幕|省电模式|访客权限|代理|拼写检查|漫游|数据同步|花园灯|弹窗|热点|定速巡航|夜览|面容解锁"
        ),
        "name": "张伟|李娜|王芳|刘洋|陈静|赵磊|孙丽|周强|吴敏|郑浩|房东|妹妹|老师|小明|小红|快递员|经理",
        "city": "北京|上海|广州|深圳|杭州|成都|武汉|西安|南京|重庆|天津|苏州|青岛|长沙|昆明|哈尔滨|拉萨|三亚",
        "country": "法国|秘鲁|日本|肯尼亚|挪威|巴西|加拿大|埃及|波兰|智利|越南|希腊|土耳其|古巴|泰国|西班牙",
        "fact": "首都|人口|货币|面积|官方语言|国歌|气候|时区",
        "product": "年卡|月票|家庭套票|加急快递|会员|补办卡|高级版|保养|学生票|停车证|行李托运|签证|体检|导游服务",
        "place": "博物馆|图书馆|游泳馆|邮局|药店|动物园|面包店|市政厅|健身房|电影院|菜市场|诊所|银行|书店",
        "task": "给牙医打电话|浇花|吃药|交房租|喂猫|发报告|买牛奶|接孩子|换护照|关烤箱|订酒店|还钥匙",
        "day": "星期一|星期二|星期三|星期四|星期五|星期六|星期天",
        "n": "2|3|5|7|12|15|20|25|40|100|250|1000|1500|5000|20000",
        "date": "3-5|3-6|7-14|7-24|12-1|12-11|1-30|10-3|5-21|9-9",
        "time": "7|8|9|10|13|15|17|18|19|20|21",
        "language": "法语|德语|西班牙语|日语|阿拉伯语|波兰语|荷兰语|韩语|瑞典语|印地语",
        "phrase": "“早上好”|“车站在哪”|“谢谢”|“明天见”|“我迷路了”|“请买单”|“生日快乐”|“禁止吸烟”|“靠左行驶”",
    },
}

FAMILIES = (
    Family(
        name="how",
        language="en",
        flips=("do", "thing"),
        siblings=("command", "may", "why"),
        templates=(
            "How do I {do} {thing}?",
            "how can i {do} {thing}",
            "How to {do} {thing}?",
            "What is the best way to {do} {thing}?",
            "Could you tell me how to {do} {thing}?",
            "What are the steps to {do} {thing}?",
            "I want to know how to {do} {thing}.",
            "Can you explain how to {do} {thing}",
            "Please show me how to {do} {thing}",
            "Is there a way to {do} {thing}?",
            "What do I have to do to {do} {thing}?",
            "hi, how does one {do} {thing}?",
            "Do you know how to {do} {thing}",
            "walk me through how to {do} {thing}",
            "I am trying to figure out how to {do} {thing}",
            "how would you {do} {thing}",
            "Where do I click to {do} {thing}?",
            "I can't find the setting to {do} {thing}, help",
            "{thing}: how do I {do} it?",
            "I'd like to {do} {thing} but have no idea where to begin.",
        ),
    ),
    Family(
        name="command",
        language="en",
        flips=("do", "thing"),
        siblings=("how", "dont", "why"),
        templates=(
            "{do} {thing}",
            "Please {do} {thing}.",
            "I want to {do} {thing}",
            "I would like to {do} {thing} please",
            "Can you {do} {thing}?",
            "could you please {do} {thing}",
            "I need to {do} {thing}",
            "Help me {do} {thing}.",
            "Hey, {do} {thing}, thanks",
            "go ahead and {do} {thing}",
            "kindly {do} {thing}",
            "I'd like you to {do} {thing}",
            "would you mind if we {do} {thing}",
            "{thing}: {do}, please",
        ),
    ),
    Family(
        name="dont",
        language="en",
        flips=("do", "thing"),
        siblings=("command",),
        templates=(
            "Don't {do} {thing}",
            "please do not {do} {thing}",
            "I don't want to {do} {thing}",
            "never {do} {thing}",
        ),
    ),
    Family(
        name="may",
        language="en",
        flips=("do", "thing"),
        siblings=("how", "must"),
        templates=(
            "Can I {do} {thing}?",
            "Am I able to {do} {thing}",
            "Is it possible to {do} {thing}?",
            "Am I allowed to {do} {thing}?",
            "may i {do} {thing}",
            "is it okay to {do} {thing}?",
        ),
    ),
    Family(
        name="must",
        language="en",
        flips=("do", "thing"),
        siblings=("may", "how"),
        templates=(
            "Do I need to {do} {thing}?",
            "do i have to {do} {thing}",
            "Must I {do} {thing}?",
            "Am I required to {do} {thing}?",
        ),
    ),
    Family(
        name="why",
        language="en",
        flips=("do", "thing"),
        siblings=("how",),
        templates=(
            "Why should I {do} {thing}?",
            "For what reason should I {do} {thing}?",
            "why would anyone {do} {thing}",
        ),
    ),
    Family(
        name="send",
        language="en",
        flips=("n", "name"),
        siblings=("request",),
        templates=(
            "Send {n:usd} to {name}",
            "please send {n:usd} to {name}.",
            "I want to send {n:usd} to {name}",
            "Could you send {n:usd} to {name}?",
            "send {name} {n:usd}",
            "I'd like to send {n:usd} to {name}",
            "Help me send {n:usd} to {name}",
            "wire {n:usd} to {name}",
        ),
    ),
    Family(
        name="request",
        language="en",
        flips=("n", "name"),
        siblings=("send",),
        templates=(
            "Request {n:usd} from {name}",
            "please request {n:usd} from {name}",
            "I want to request {n:usd} from {name}",
        ),
    ),
    Family(
        name="flight",
        language="en",
        flips=("city", "city2", "date"),
        swaps=("city", "city2"),
        templates=(
            "Flights from {city} to {city2} on {date}",
            "flights to {city2} from {city} on {date}",
            "Show me flights from {city} to {city2} on {date}",
            "I want to see flights from {city} to {city2} on {date}",
            "please show flights from {city} to {city2} on {date}",
            "Find flights from {city} to {city2} on {date}",
            "can you find me flights from {city} to {city2} on {date}?",
            "I need to fly from {city} to {city2} on {date}",
        ),
    ),
    Family(
        name="fact",
        language="en",
        flips=("fact", "country"),
        templates=(
            "What is the {fact} of {country}?",
            "what's the {fact} of {country}",
            "What is {country}'s {fact}?",
            "Tell me the {fact} of {country}",
            "Do you know the {fact} of {country}?",
            "Please tell me what the {fact} of {country} is",
            "could you tell me the {fact} of {country}",
            "I want to know the {fact} of {country}",
            "{fact} of {country}",
        ),
    ),
    Family(
        name="price",
        language="en",
        flips=("product",),
        siblings=("buyhow",),
        templates=(
            "How much does {product} cost?",
            "What is the price of {product}?",
            "how much is {product}",
            "What does {product} cost?",
            "what is the cost of {product}?",
            "Can you tell me how much {product} costs?",
            "price of {product}?",
            "What would I pay for {product}?",
        ),
    ),
    Family(
        name="buyhow",
        language="en",
        flips=("product",),
        siblings=("price",),
        templates=("How do I buy {product}?", "how can I purchase {product}", "What is the best way to buy {product}?"),
    ),
    Family(
        name="opens",
        language="en",
        flips=("place", "day"),
        siblings=("closes", "whereis"),
        templates=(
            "When does {place} open on {day}?",
            "What time does {place} open on {day}",
            "at what time does {place} open on {day}?",
            "Please tell me when {place} opens on {day}",
            "opening time of {place} on {day}?",
        ),
    ),
    Family(
        name="closes",
        language="en",
        flips=("place", "day"),
        siblings=("opens",),
        templates=(
            "When does {place} close on {day}?",
            "What time does {place} close on {day}",
            "at what time does {place} close on {day}?",
            "How late is {place} open on {day}?",
        ),
    ),
    Family(
        name="whereis",
        language="en",
        flips=("place",),
        siblings=("opens",),
        templates=(
            "Where is {place}?",
            "In which place is {place}?",
            "how do I get to {place}",
            "Can you tell me where {place} is?",
        ),
    ),
    Family(
        name="return",
        language="en",
        flips=("item", "n"),
        siblings=("exchange",),
        templates=(
            "Can I return {item} after {n} days?",
            "am i able to return {item} after {n} days",
            "Is it possible to return {item} after {n} days?",
            "May I return {item} after {n} days?",
            "is it ok to return {item} after {n} days?",
            "I bought {item} {n} days ago, may I still bring it back?",
        ),
    ),
    Family(
        name="exchange",
        language="en",
        flips=("item", "n"),
        siblings=("return",),
        templates=("Can I exchange {item} after {n} days?", "Is it possible to exchange {item} after {n} days?"),
    ),
    Family(
        name="remind",
        language="en",
        flips=("task", "time", "day"),
        templates=(
            "Remind me to {task} at {time} on {day}",
            "please remind me to {task} at {time} on {day}.",
            "Could you remind me to {task} at {time} on {day}?",
            "I want you to remind me to {task} at {time} on {day}",
            "on {day} at {time}, remind me to {task}",
            "set a reminder to {task} at {time} on {day}",
        ),
    ),
    Family(
        name="convert",
        language="en",
        flips=("n", "unit", "unit2"),
        swaps=("unit", "unit2"),
        templates=(
            "Convert {n} {unit} to {unit2}",
            "please convert {n} {unit} to {unit2}",
            "Can you convert {n} {unit} to {unit2}?",
            "I need to convert {n} {unit} to {unit2}",
            "How many {unit2} are in {n} {unit}?",
            "what is {n} {unit} in {unit2}",
        ),
    ),
    Family(
        name="translate",
        language="en",
        flips=("phrase", "language"),
        templates=(
            "Translate {phrase} into {language}",
            "please translate {phrase} into {language}",
            "Could you translate {phrase} into {language}?",
            "I want to translate {phrase} into {language}",
            "How do you say {phrase} in {language}?",
        ),
    ),
    Family(
        name="larger",
        language="en",
        flips=("country", "country2"),
        swaps=("country", "country2"),
        siblings=("smaller",),
        templates=(
            "Is {country} larger than {country2}?",
            "do you know if {country} is larger than {country2}",
            "is {country} bigger than {country2}",
        ),
    ),
    Family(
        name="smaller",
        language="en",
        flips=("country", "country2"),
        swaps=("country", "country2"),
        siblings=("larger",),
        templates=("Is {country} smaller than {country2}?", "do you know if {country} is smaller than {country2}"),
    ),
    Family(
        name="how",
        language="zh",
        flips=("do", "thing"),
        siblings=("command", "may"),
        templates=(
            "怎么{do}{thing}？",
            "如何{do}{thing}",
            "怎样{do}{thing}？",
            "请问怎么{do}{thing}？",
            "我该怎么{do}{thing}",
            "请问如何才能{do}{thing}？",
            "怎样才能{do}{thing}呢？",
            "{do}{thing}的方法是什么？",
            "请告诉我怎么{do}{thing}",
            "我想知道如何{do}{thing}",
            "有什么办法可以{do}{thing}？",
            "{do}{thing}的步骤",
            "我要怎么把{thing}{do}？",
            "{thing}在哪儿{do}啊",
            "想{do}{thing}，不会弄",
        ),
    ),
    Family(
        name="command",
        language="zh",
        flips=("do", "thing"),
        siblings=("how", "dont"),
        templates=(
            "{do}{thing}",
            "请{do}{thing}。",
            "帮我{do}{thing}",
            "我想{do}{thing}",
            "请帮我{do}{thing}，谢谢",
            "麻烦{do}一下{thing}",
            "帮忙{do}{thing}",
            "把{thing}{do}",
            "我需要{do}{thing}",
            "{thing}给我{do}一下吧",
        ),
    ),
    Family(
        name="dont",
        language="zh",
        flips=("do", "thing"),
        siblings=("command",),
        templates=("不要{do}{thing}", "请不要{do}{thing}", "别{do}{thing}", "我不想{do}{thing}"),
    ),
    Family(
        name="may",
        language="zh",
        flips=("do", "thing"),
        siblings=("how",),
        templates=(
            "我可以{do}{thing}吗？",
            "能不能{do}{thing}",
            "是否可以{do}{thing}？",
            "可不可以{do}{thing}",
            "能{do}{thing}吗",
        ),
    ),
    Family(
        name="send",
        language="zh",
        flips=("n", "name"),
        siblings=("receive",),
        templates=(
            "转账{n:yuan}给{name}",
            "请转账{n:yuan}给{name}",
            "我想转账{n:yuan}给{name}",
            "帮我转账{n:yuan}给{name}",
            "给{name}转{n:yuan}",
        ),
    ),
    Family(
        name="receive",
        language="zh",
        flips=("n", "name"),
        siblings=("send",),
        templates=("向{name}收款{n:yuan}", "请向{name}收款{n:yuan}", "帮我向{name}收款{n:yuan}"),
    ),
    Family(
        name="travel",
        language="zh",
        flips=("city", "city2", "date"),
        swaps=("city", "city2"),
        templates=(
            "{date}从{city}到{city2}的机票",
            "请问{date}从{city}到{city2}的机票",
            "查询{date}从{city}到{city2}的机票",
            "帮我查一下{date}从{city}到{city2}的机票",
            "查看{date}从{city}到{city2}的机票",
            "{date}到{city2}从{city}的机票",
            "{date}{city}飞{city2}",
        ),
    ),
    Family(
        name="fact",
        language="zh",
        flips=("fact", "country"),
        templates=(
            "{country}的{fact}是什么？",
            "请问{country}的{fact}是什么",
            "{country}{fact}是什么",
            "请问{country}{fact}是什么？",
            "什么是{country}的{fact}",
        ),
    ),
    Family(
        name="price",
        language="zh",
        flips=("product",),
        siblings=("buyhow",),
        templates=(
            "{product}多少钱？",
            "请问{product}多少钱",
            "{product}的价格是多少？",
            "{product}什么价格",
            "请问{product}怎么卖",
            "办{product}要花多少",
        ),
    ),
    Family(
        name="buyhow",
        language="zh",
        flips=("product",),
        siblings=("price",),
        templates=("怎么买{product}？", "如何购买{product}", "请问怎样购买{product}？"),
    ),
    Family(
        name="opens",
        language="zh",
        flips=("place", "day"),
        siblings=("closes",),
        templates=(
            "{place}{day}什么时候开门？",
            "请问{place}{day}几时开门",
            "{place}{day}何时开门",
            "{day}{place}几点开",
        ),
    ),
    Family(
        name="closes",
        language="zh",
        flips=("place", "day"),
        siblings=("opens",),
        templates=("{place}{day}什么时候关门？", "请问{place}{day}几时关门", "{place}{day}何时关门"),
    ),
    Family(
        name="remind",
        language="zh",
        flips=("task", "time", "day"),
        templates=(
            "{day}{time}提醒我{task}",
            "请{day}{time}提醒我{task}",
            "麻烦{day}{time}提醒我{task}",
            "设个{day}{time}{task}的闹钟",
        ),
    ),
    Family(
        name="translate",
        language="zh",
        flips=("phrase", "language"),
        templates=(
            "把{phrase}翻译成{language}",
            "请把{phrase}翻译成{language}",
            "帮我把{phrase}翻译成{language}",
            "{phrase}用{language}怎么说",
        ),
    ),
)
