// One request after the other, so that no answer is older than what is shown.

const EVERY_MS = 700; // between two looks at what other tabs and the retraining did

export class Server {
  #revision = -1;
  #last = Promise.resolve();
  #waiting = 0;

  constructor({ onState, onFault }) {
    this.onState = onState;
    this.onFault = onFault;
  }

  // Ask for a change, or only for what is new if there is no body.
  ask(address, body) {
    this.#waiting += 1;
    const answer = this.#last.then(() => this.#send(address, body)).finally(() => (this.#waiting -= 1));
    this.#last = answer.catch(() => undefined);
    return answer;
  }

  watch() {
    const look = () => {
      if (!document.hidden && !this.#waiting) this.ask("state").catch(() => undefined);
    };
    setInterval(look, EVERY_MS);
    document.addEventListener("visibilitychange", look);
    return this.ask("state");
  }

  async #send(address, body) {
    const options = body && {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    };
    let answer;
    try {
      answer = await fetch(`${address}?since=${this.#revision}`, options);
    } catch (error) {
      this.onFault("The review has ended. Nothing more is saved; start it again with counterplay review.");
      throw error;
    }
    if (!answer.ok) {
      const text = await answer.text();
      this.onFault(text);
      throw new Error(text);
    }
    const state = await answer.json();
    this.#revision = state.revision;
    this.onFault("");
    this.onState(state);
    return state;
  }
}
