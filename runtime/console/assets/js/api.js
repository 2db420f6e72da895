// What the server is asked. Addresses are relative to the page, which may be anywhere.

const base = new URL(document.baseURI);
base.username = base.password = ""; // with which nothing could be fetched

// Refused is an answer that is an error.
export class Refused extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

async function ask(path, options = {}) {
  const response = await fetch(new URL(path, base), options);
  if (response.ok) {
    return response;
  }
  let problem;
  try {
    problem = (await response.json()).error;
  } catch {
    throw new Refused("unknown", `the console answers ${response.status} ${response.statusText}`);
  }
  throw new Refused(problem.code, problem.message);
}

function post(path, body, signal) {
  return ask(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "Packetrpc-Console": "page" },
    body: JSON.stringify(body),
    signal,
  });
}

// state tells how things are; find picks clients.
export async function state(find) {
  return (await ask(`api/state?${new URLSearchParams({ find })}`)).json();
}

export async function catalogue() {
  return (await ask("api/actions")).json();
}

// call makes a call and yields its events. It is cancelled by the signal.
export async function* call(request, signal) {
  const response = await post("api/calls", request, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let unread = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) {
      return;
    }
    const lines = (unread + value).split("\n");
    unread = lines.pop();
    for (const line of lines) {
      yield JSON.parse(line);
    }
  }
}

export const sendMore = (id, messages) => post(`api/calls/${id}/messages`, { messages });
export const halfClose = (id) => post(`api/calls/${id}/half-close`, {});
