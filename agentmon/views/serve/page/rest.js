// The REST interface, below wherever the page stands.

/** An answer of the server that is no success; message is its own words. */
export class Refusal extends Error {
  constructor(status, words) {
    super(words);
    this.status = status;
  }
}

/** given: query parameters, several values as an array; null, undefined and "" are left out. Raises Refusal, or TypeError where nobody answers. */
export async function ask(path, given = {}, signal = undefined) {
  const url = new URL(`api/v1/${path}`, document.baseURI);
  for (const [name, value] of Object.entries(given)) {
    for (const one of [].concat(value ?? [])) if (one !== "") url.searchParams.append(name, one);
  }
  const answer = await fetch(url, { headers: { accept: "application/json" }, signal });
  if (answer.ok) return answer.json();
  let words = `the server answered ${answer.status}`;
  try {
    const problem = await answer.json();
    words = [problem.title, problem.detail].filter(Boolean).join(": ") || words;
  } catch {
    // no problem object
  }
  throw new Refusal(answer.status, words);
}

export const pathOf = (...parts) => parts.map(encodeURIComponent).join("/");
