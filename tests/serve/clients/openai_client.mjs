// The openai npm package, unchanged: asks two gateways, prints what came back as JSON.
// node openai_client.mjs ECHO_URL REMOTE_URL
import OpenAI from "openai";

const [echoUrl, remoteUrl] = process.argv.slice(2);
const open = (baseURL, more = {}) => new OpenAI({ baseURL, apiKey: "none", maxRetries: 0, ...more });
const echo = open(echoUrl), remote = open(remoteUrl);
const messages = [{ role: "user", content: "one two three" }];
const tools = [{ type: "function", function: { name: "weather", parameters: { type: "object" } } }];
const found = {};

const refused = async (asking) => {
  try {
    await asking();
  } catch (error) {
    const { status, code, param, requestID } = error;
    return { kind: error.constructor.name, status, code, param, requestID, retryAfter: error.headers?.get("retry-after") };
  }
};

const { data: whole, response, request_id } = await echo.chat.completions
  .create({ model: "echo", messages }, { headers: { "X-Request-Id": "mine-9" } })
  .withResponse();
found.whole = { id: whole.id, text: whole.choices[0].message.content, usage: whole.usage };
found.ids = { request: request_id, call: response.headers.get("x-cput-call-id") };

const texts = [];
let last;
for await (const chunk of await echo.chat.completions.create(
  { model: "echo", messages, stream: true, stream_options: { include_usage: true } })) {
  if (chunk.choices[0]?.delta.content) texts.push(chunk.choices[0].delta.content);
  last = chunk;
}
found.stream = { texts, usage: last.usage };

const helper = echo.chat.completions.stream({ model: "echo", messages });
found.helper = await helper.finalContent();

const text = await echo.completions.create({ model: "echo", prompt: "a b c", max_tokens: 2 });
found.completion = { text: text.choices[0].text, reason: text.choices[0].finish_reason };

found.response = (await echo.responses.create({ model: "echo", input: "one two" })).output_text;
found.events = [];
for await (const event of await echo.responses.create({ model: "echo", input: "one", stream: true })) {
  found.events.push(event.type.replace("response.", ""));
}

found.models = [];
for await (const model of echo.models.list()) found.models.push(model.id);

const called = await remote.chat.completions.create({ model: "m", messages, tools });
found.tools = called.choices[0].message.tool_calls;
const runner = remote.chat.completions.stream({ model: "m", messages, tools });
found.streamedTools = (await runner.finalChatCompletion()).choices[0].message.tool_calls;

found.limited = await refused(() => remote.chat.completions.create({ model: "m", messages }));
found.missing = await refused(() => echo.chat.completions.create({ model: "none", messages }));
found.wrong = await refused(() => echo.chat.completions.create({ model: "echo", messages, n: 2 }));

const long = [{ role: "user", content: "word ".repeat(400) }];
const stream = await remote.chat.completions.create({ model: "m", messages: long, stream: true });
found.beforeHangUp = 0;
for await (const _ of stream) {
  if (++found.beforeHangUp === 4) break; // leaving the loop hangs up
}
console.log(JSON.stringify(found));
