// The server's state, asked for every second, and what can be told from how it changes.
import * as api from "./api.js";

const interval = 1000;
const kept = 61; // seconds
const rateOver = 10; // seconds

export class Live {
  now = null; // the last state
  problem = null; // why there is no newer one
  find = ""; // which clients are wanted
  #history = []; // the oldest first
  #tell;
  #timer;

  // changed is called when there is something new.
  constructor(changed) {
    this.#tell = changed;
    document.addEventListener("visibilitychange", () => this.refresh());
  }

  // refresh asks at once, and from then on every second while the page can be seen.
  async refresh() {
    clearTimeout(this.#timer);
    if (document.hidden) {
      return;
    }
    const find = this.find;
    try {
      const state = await api.state(find);
      if (find === this.find) {
        this.#take(state);
      }
      this.problem = null;
    } catch (problem) {
      this.problem = problem;
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.refresh(), interval);
    this.#tell();
  }

  #take(state) {
    const begun = this.now?.stats.Connected > state.stats.Connected;
    if (begun) {
      this.#history = []; // another server by now
    }
    const actions = new Map(state.actions.map((action) => [seriesKey(action.action, action.outgoing), action]));
    this.now = state;
    this.#history.push({ time: Date.parse(state.time), stats: state.stats, actions });
    while (this.#history.length > kept) {
      this.#history.shift();
    }
  }

  get time() {
    return this.now ? Date.parse(this.now.time) : Date.now();
  }

  // seconds returns over how long the state has been followed, which is a minute at most.
  get seconds() {
    return this.now ? Math.min(60, Math.round((this.time - this.#history[0].time) / 1000)) : 0;
  }

  // before returns the state of so many seconds ago, or the oldest one there is.
  #before(seconds) {
    const wanted = this.time - seconds * 1000;
    return this.#history.findLast((one) => one.time <= wanted) ?? this.#history[0];
  }

  // rateOf returns by how much a number grows per second. pick gets it out of a state.
  rateOf(pick) {
    const last = this.#history.at(-1);
    const before = this.#before(rateOver);
    if (!last || last === before) {
      return 0;
    }
    return Math.max(0, ((pick(last) - pick(before)) * 1000) / (last.time - before.time));
  }

  // grown returns by how much a number has grown in the last minute.
  grown(pick) {
    const last = this.#history.at(-1);
    return last ? pick(last) - pick(this.#before(60)) : 0;
  }

  // perSecond returns how much a number has grown in each second that is known.
  perSecond(pick) {
    return this.#history.slice(1).map((one, i) => {
      const before = this.#history[i];
      return Math.max(0, ((pick(one) - pick(before)) * 1000) / (one.time - before.time));
    });
  }

  // figures returns what is known of an action's calls: of the last minute, or since the
  // server was started.
  figures(action, outgoing, recent, bounds) {
    const key = seriesKey(action, outgoing);
    const last = this.#history.at(-1)?.actions.get(key) ?? empty;
    const before = (recent && this.#before(60)?.actions.get(key)) || empty;
    const buckets = spread(last, bounds.length).map((n, i) => n - spreadAt(before, i));
    const ended = buckets.reduce((sum, n) => sum + n, 0);
    return {
      calls: last.begun - before.begun,
      failed: last.failed - before.failed,
      underWay: last.begun - total(last),
      rate: this.rateOf((one) => one.actions.get(key)?.begun ?? 0),
      buckets,
      quantile: (q) => quantile(buckets, ended, bounds, q),
    };
  }
}

const empty = { begun: 0, failed: 0, first: 0, buckets: [] };

export const seriesKey = (action, outgoing) => (outgoing ? "out " : "in ") + action;

// all returns how often a state counts something of the actions in one direction.
export function all(state, field, outgoing) {
  let sum = 0;
  for (const action of state.actions.values()) {
    if (action.outgoing === outgoing) {
      sum += action[field];
    }
  }
  return sum;
}

const total = (series) => series.buckets.reduce((sum, n) => sum + n, 0);
const spreadAt = (series, i) => series.buckets[i - series.first] ?? 0;
const spread = (series, length) => Array.from({ length }, (_, i) => spreadAt(series, i));

// quantile returns the duration, in milliseconds, that a part of the calls have not
// exceeded; null without calls.
function quantile(buckets, ended, bounds, part) {
  if (ended === 0) {
    return null;
  }
  const rank = part * ended;
  let below = 0;
  for (let i = 0; i < buckets.length; i++) {
    if (buckets[i] > 0 && below + buckets[i] >= rank) {
      const width = (bounds[i + 1] ?? bounds[i]) - bounds[i];
      return bounds[i] + (width * (rank - below)) / buckets[i];
    }
    below += buckets[i];
  }
  return bounds.at(-1);
}
