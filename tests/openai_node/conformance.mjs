// OpenAI's own client against a running service. Reads what to do from the environment, writes what
// it saw as one line of JSON on standard output; tests/e2e/test_openai_node.py judges it.
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import OpenAI, { toFile } from "openai";

const { ADDRESS, KEY, READER_KEY, SPEECH, LONG, FRENCH } = process.env;
const options = { baseURL: `${ADDRESS}/v1`, apiKey: KEY, maxRetries: 60 };
const client = new OpenAI(options);
const model = "whisper-1";

// The client retries a file that it holds, and not one that it streams from a disk.
const held = async (path) => toFile(await readFile(path), path.split("/").at(-1));

const transcribe = async (fields = {}) =>
  client.audio.transcriptions.create({ file: await held(SPEECH), model, ...fields });

async function raised(act) {
  try {
    await act();
    return null;
  } catch (error) {
    const { status, code, param, type } = error;
    return { name: error.constructor.name, status, code, param, type };
  }
}

async function streamed() {
  const { data, response } = await client.audio.transcriptions
    .create({ file: createReadStream(LONG), model, stream: true })
    .withResponse();
  const job = response.headers.get("x-whisperdrop-job");
  const deltas = [];
  let statusAtFirst = null;
  let done = null;
  for await (const event of data) {
    if (event.type === "transcript.text.delta") {
      if (statusAtFirst === null) {
        const answer = await fetch(`${ADDRESS}/v1/jobs/${job}`, {
          headers: { Authorization: `Bearer ${KEY}` },
        });
        statusAtFirst = (await answer.json()).status;
      }
      deltas.push(event.delta);
    } else {
      done = event;
    }
  }
  return { deltas: deltas.length, joined: deltas.join(""), done, statusAtFirst };
}

async function errors() {
  const other = (fields) => new OpenAI({ ...options, maxRetries: 0, ...fields });
  const send = (sender, fields) =>
    raised(async () =>
      sender.audio.transcriptions.create({ file: await held(SPEECH), model, ...fields }),
    );
  return {
    badRequest: await send(client, { response_format: "yaml" }),
    undecodable: await raised(async () =>
      client.audio.transcriptions.create({
        file: await toFile(Buffer.from("this is no audio"), "speech.wav"),
        model,
      }),
    ),
    authentication: await send(other({ apiKey: "wrong" })),
    permissionDenied: await send(other({ apiKey: READER_KEY })),
    notFound: await send(client, { model: "gpt-4o-transcribe-diarize" }),
    modelNotFound: await raised(() => client.models.retrieve("large-v9")),
  };
}

const listed = [];
for await (const one of client.models.list()) listed.push(one.id);

const report = {
  json: await transcribe(),
  text: await transcribe({ response_format: "text" }),
  srt: await transcribe({ response_format: "srt" }),
  vtt: await transcribe({ response_format: "vtt" }),
  verbose: await transcribe({
    response_format: "verbose_json",
    timestamp_granularities: ["word", "segment"],
  }),
  options: await transcribe({
    language: "en",
    prompt: "A pangram.",
    temperature: 0,
    chunking_strategy: { type: "server_vad", threshold: 0.5 },
    include: ["logprobs"],
  }),
  bytes: await client.audio.transcriptions.create({
    file: await toFile(await readFile(SPEECH), "upload", { type: "application/octet-stream" }),
    model: "gpt-4o-transcribe",
  }),
  translation: await client.audio.translations.create({
    file: await held(FRENCH),
    model: "base",
  }),
  models: listed,
  model: await client.models.retrieve(model),
  stream: await streamed(),
  long: await transcribe({ file: await held(LONG), language: "en", response_format: "text" }),
  errors: await errors(),
};
console.log(JSON.stringify(report));
