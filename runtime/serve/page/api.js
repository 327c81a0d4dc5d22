// What is asked of the server. The token comes in the address's fragment, which no server sees, and stays in this tab.

const KEY = "copersona.token";

export class Refused extends Error {
  constructor(message, status, code) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem(KEY, given);
    history.replaceState(null, "", "/");
  }
  return sessionStorage.getItem(KEY);
}

export function setToken(token) {
  sessionStorage.setItem(KEY, token);
}

async function send(path, { method, body, signal } = {}) {
  const headers = { Authorization: `Bearer ${sessionStorage.getItem(KEY) ?? ""}` };
  const file = body instanceof Blob;
  if (file) headers["Content-Type"] = body.type || "application/octet-stream";
  else if (body !== undefined || (method && method !== "GET")) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, {
      method: method ?? (body === undefined ? "GET" : "POST"),
      headers,
      body: body === undefined || file ? body : JSON.stringify(body),
      signal,
      cache: "no-store",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("The server does not answer. Is `copersona serve` still running?", 0, "gone");
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

async function refusal(response) {
  try {
    const { error } = await response.json();
    return new Refused(error.message, response.status, error.code);
  } catch {
    return new Refused(`The server said ${response.status}.`, response.status, "");
  }
}

export async function get(path) {
  return (await send(path)).json();
}

/** `body` becomes JSON; a Blob is sent as it is. */
export async function post(path, body) {
  return (await send(path, { body })).json();
}

export async function change(method, path, body) {
  return (await send(path, { method, body })).json();
}

/** Have the browser save what the server sends, under a name. */
export async function save(path, name) {
  const address = URL.createObjectURL(await (await send(path)).blob());
  const link = document.createElement("a");
  Object.assign(link, { href: address, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

export const personPath = (person, rest = "") => `/copersona/v1/people/${encodeURIComponent(person)}${rest}`;

/** Ask for an answer. `told` gets each piece, `kept` where the turn is kept. Gives why it ended, and its record. */
export async function stream(body, { told, kept = () => {} }, signal) {
  const response = await send("/v1/chat/completions", { body: { ...body, stream: true }, signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let last = null;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      if (!event.startsWith("data: ") || event === "data: [DONE]") continue;
      const chunk = JSON.parse(event.slice(6));
      if (chunk.error) throw new Refused(chunk.error.message, 500, chunk.error.code);
      const choice = chunk.choices[0];
      if (chunk.copersona?.conversation) kept(chunk.copersona);
      if (choice?.delta.content) told(choice.delta.content);
      if (choice?.finish_reason) last = { reason: choice.finish_reason, record: chunk.copersona ?? {} };
    }
  }
  if (last === null) throw new Refused("The answer broke off.", 0, "broken");
  return last;
}
