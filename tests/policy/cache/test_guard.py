"""The guard refuses what it can't align: each trap is a miss, and so is what it does not know."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cput.policy.cache import refusal
from cput.policy.cache.canon import canon

SAME = [
    ("enable 2FA", "turn on 2FA"),
    ("How do I enable 2FA?", "Could you tell me how to turn on two-factor authentication?"),
    ("turn dark mode on", "Please switch on dark mode."),
    ("transfer 1,000 dollars", "transfer $1k"),
    ("two tickets", "2 tickets"),
    ("one hundred and twenty five tickets", "125 tickets"),
    ("a meeting on March 5th, 2024 at 3pm", "a meeting on 2024-03-05 at 15:00"),
    ("flights to Denver from Boston", "flights from Boston to Denver"),
    ("What's the capital of France?", "what is France's capital city"),
    ("how to reset my password", "what is the best way to reset my password?"),
    ("How much does the Pro plan cost?", "What is the price of the Pro plan?"),
    ("run 5km", "run 5 kilometers"),
    ("show me my orders", "view my orders"),
    ("Hi there, please cancel my order. Thanks!", "cancel my order please"),
    ("您好，请问怎么打开深色模式？谢谢！", "怎么打开深色模式"),
    ("如何开启深色模式", "请问怎么打开深色模式？"),
    ("转账一千元给李娜", "转账1000元给李娜"),
    ("帮我把灯打开", "打开灯"),
    ("我可以退款吗", "能不能退款"),
    ("3月5日下午三点开会", "三月五号15点开会"),
    ("有２个", "有2个"),
]
TRAPS = [
    ("polarity", "turn on dark mode", "turn off dark mode"),
    ("polarity", "is it safe with alcohol", "is it safe without alcohol"),
    ("polarity", "What happened before 1990", "What happened after 1990"),
    ("polarity", "allow all", "allow none"),
    ("polarity", "the minimum price", "the maximum price"),
    ("polarity", "how do I show my number", "how do I see my number"),
    ("polarity", "buy shares", "sell shares"),
    ("polarity", "subscribe to it", "unsubscribe from it"),
    ("polarity", "cancel the order", "do not cancel the order"),
    ("content", "don't, stop", "don't stop"),
    ("content", "no, cancel the order", "no cancel the order"),
    ("number", "send $100 to Bob", "send $200 to Bob"),
    ("number", "remind me at 5 pm", "remind me at 5 am"),
    ("number", "flights on March 5", "flights on March 6"),
    ("number", "I need 5m", "I need 5 million"),
    ("number", "the 2nd page", "page 2"),
    ("reversal", "flights from Boston to Denver", "flights from Denver to Boston"),
    ("reversal", "convert miles to kilometers", "convert kilometers to miles"),
    ("reversal", "man bites dog", "dog bites man"),
    ("reversal", "buy 5 at 10", "buy 10 at 5"),
    ("reversal", "when did I send Bob money", "when did Bob send me money"),
    ("reversal", "who did Bob contact", "who did contact Bob"),
    ("reversal", "stop sending and start receiving", "start sending and stop receiving"),
    ("question", "Who wrote Emma", "When was it that Emma wrote"),
    ("question", "give me a refund", "what is a refund"),
    ("question", "Can you speak French?", "Speak French"),
    ("entity", "enable 2FA for bob@x.com", "enable 2FA for rob@x.com"),
    ("entity", "open account A1", "open account Al"),
    ("entity", 'translate "yes"', 'translate "Yes"'),
    ("entity", "is the US big", "is us big"),
    ("content", "the capital of France", "the capital of Spain"),
    ("content", "what do I do", "what am I"),
    ("content", "what does aspirin do", "what is aspirin"),
    ("content", "where does the bus stop", "where is the bus stop"),
    ("content", "send money to Bob", "send money for Bob"),
    ("content", "are there a few issues", "are there few issues"),
    ("content", "the door is open", "open the door"),
    ("content", "book price", "reserve price"),
    ("content", "how do you say thank you in Spanish", "how do you say hello in Spanish"),
    ("content", "what is Spanish for good morning", "what is Spanish for hello"),
    ("content", "谢谢用法语怎么说", "你好用法语怎么说"),
    ("content", "Wie schalte ich das Licht ein", "Wie schalte ich das Licht aus"),
    ("language", "enable 2FA", "启用 2FA"),
    ("polarity", "如何开启深色模式", "如何关闭深色模式"),
    ("polarity", "不要打开灯", "打开灯"),
    ("polarity", "没有密码怎么登录", "有密码怎么登录"),
    ("polarity", "买股票", "卖股票"),
    ("number", "转账一千元", "转账两千元"),
    ("number", "星期一下午三点", "星期一下午四点"),
    ("content", "一千五", "1005"),
    ("reversal", "从北京到上海的机票", "从上海到北京的机票"),
    ("reversal", "把A给B", "把B给A"),
    ("reversal", "谁打了他", "他打了谁"),
    ("reversal", "小明怎么联系", "怎么联系小明"),
    ("content", "我什么时候买他的车", "他什么时候买我的车"),
    ("question", "退款怎么样", "怎么退款"),
    ("content", "给我打电话", "帮我打电话"),
    ("content", "三块蛋糕多少钱", "三元蛋糕多少钱"),
]
TRICKS = [
    "turn on the l\u200bight",  # zero width
    "turn on\u202e the light",  # direction
    "pay 1\u2070\u2070",  # superscripts
    "pay \U0001d7cf00",  # mathematical bold
    "pay \u2460 dollars",  # a digit in a circle
    "pay \u0661\u0660\u0660 dollars",  # Arabic-Indic
    "\u0440\u0430y 100",  # Cyrillic letters that look Latin
    "p\u0131n the tab",  # a dotless i
    "turn on the light 💡",
    "turn\x00on the light",
    "word " * 200,
    "line one\nline two",
    "",
    "!!!",
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_requests_that_ask_the_same_pass_both_ways(one, other):
    assert refusal(one, other) is None
    assert refusal(other, one) is None


@pytest.mark.parametrize(("reason", "one", "other"), TRAPS)
def test_every_trap_is_a_miss_both_ways_and_says_why(reason, one, other):
    assert refusal(other, one) == refusal(one, other)
    assert refusal(one, other) is not None
    if reason != "content":  # which of two reasons is named where both hold is no promise
        assert refusal(one, other) in {reason, "content", "characters"}


@pytest.mark.parametrize("text", TRICKS)
def test_a_text_that_can_not_be_read_is_compared_with_nothing(text):
    assert canon(text) is None
    assert refusal(text, "turn on the light") == "characters"
    assert refusal("pay 100", text) == "characters"


@given(st.integers(0, 10**7), st.integers(0, 10**7))
def test_two_amounts_pass_only_where_they_are_equal(one, other):
    said = [f"pay {one:,} dollars", f"pay ${other}"]
    assert (refusal(*said) is None) == (one == other)


@given(st.integers(0, 99_999), st.integers(0, 99_999))
def test_chinese_numerals_are_read_as_their_figures(one, other):
    assert (refusal(f"付{chinese(one)}元", f"付{other}元") is None) == (one == other)


def chinese(value):
    """The standard numeral of a number below 100,000."""
    digits, said, zero = "零一二三四五六七八九", "", False
    if value == 0:
        return digits[0]
    for scale, sign in ((10_000, "万"), (1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit = value // scale % 10
        if digit:
            said += digits[0] * zero + digits[digit] + sign
            zero = False
        else:
            zero = bool(said)
    return said


@given(
    st.lists(
        st.sampled_from(
            ["turn", "on", "off", "not", "5", "six", "the", "from", "to", "Bob", "open", "a", "can", "i", "how"]
        ),
        min_size=1,
        max_size=6,
    )
)
def test_the_guard_is_symmetric_and_reflexive(words):
    text, other = " ".join(words), " ".join(reversed(words))
    assert refusal(text, text) is None
    assert refusal(text, other) == refusal(other, text)


@given(st.text(max_size=80), st.text(max_size=80))
def test_no_text_breaks_the_guard(one, other):
    assert refusal(one, one) is None
    assert refusal(one, other) == refusal(other, one)
    assert refusal(f"how do i {one}", f"怎么{other}") == refusal(f"怎么{other}", f"how do i {one}")
