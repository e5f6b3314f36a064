// Stream: one WebSocket of the server, and the telemetry of every agent that it told of.
//
// Frames are folded into plain objects (the AgentTelemetry of the REST interface). A connection that is lost is made
// again, with growing pauses, from the last frame on; where the server is another by then, it starts anew.

const SAMPLES_KEPT = 240;
const LOGS_KEPT = 50;
const GIT_KEPT = 10;
const FIRST_PAUSE_MS = 400;
const LONGEST_PAUSE_MS = 15000;
const QUIET_MS = 20000; // then it is asked whether it lives
const ANSWER_MS = 10000;
const GATHER_MS = 120; // what comes together is drawn together
const GONE_AFTER_MS = 4000; // a server that started anew has told of all it knows by then

export const keyOf = (message) => `${message.run_id}\n${message.agent_id}`;

/** Where one run counts once: only the agent that bears its name holds the processes. */
export const isLive = (agent) => agent.status === "running" || agent.status === "stalled";

/**
 * Listeners get (kind, what): "state" with "connecting", "open" or "waiting"; "agents" with the keys that changed, once
 * a frame; "event" with one message of the contract as it came; "omitted" with {key, logs}; "hello" with that message.
 */
export class Stream {
  constructor(address) {
    this.address = address;
    this.agents = new Map();
    this.state = "connecting";
    this.refused = null; // the server's own words, where it said no
    this.skew = 0; // seconds to add to this machine's clock for the server's
    this._listeners = new Set();
    this._changed = new Set();
    this._frame = 0;
    this._failures = 0;
    this._life = null;
    this._seq = null;
    this._stale = new Set();
    this._quiet = 0;
    this._retry = 0;
    this._wake = () => {
      if (document.visibilityState === "visible" && this.state === "waiting") this.connect();
    };
  }

  listen(listener) {
    this._listeners.add(listener);
    return () => this._listeners.delete(listener);
  }

  now() {
    return Date.now() / 1000 + this.skew;
  }

  start() {
    addEventListener("online", this._wake);
    document.addEventListener("visibilitychange", this._wake);
    this.connect();
    return this;
  }

  stop() {
    removeEventListener("online", this._wake);
    document.removeEventListener("visibilitychange", this._wake);
    clearTimeout(this._retry);
    clearTimeout(this._quiet);
    const socket = this._socket;
    this._socket = null;
    socket?.close();
  }

  connect() {
    clearTimeout(this._retry);
    const url = new URL(this.address);
    if (this._life !== null && this._seq !== null) {
      url.searchParams.set("since", this._seq);
      url.searchParams.set("stream", this._life);
    }
    this._become("connecting");
    const socket = new WebSocket(url);
    this._socket = socket;
    socket.addEventListener("open", () => this._listenFor(socket));
    socket.addEventListener("message", (message) => {
      if (socket !== this._socket || typeof message.data !== "string") return;
      this._listenFor(socket);
      let told = null;
      try {
        told = JSON.parse(message.data);
      } catch {
        return; // not ours
      }
      if (told && typeof told === "object") this._take(told);
    });
    socket.addEventListener("close", (event) => {
      if (socket !== this._socket) return;
      clearTimeout(this._quiet);
      this._socket = null;
      const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 1.7 ** this._failures);
      this._failures += 1;
      this.refused = event.reason || null;
      this._become("waiting");
      this._retry = setTimeout(() => this.connect(), pause * (0.7 + Math.random() * 0.6));
    });
  }

  _listenFor(socket) {
    clearTimeout(this._quiet);
    this._quiet = setTimeout(() => {
      if (socket.readyState === WebSocket.OPEN) socket.send('{"action":"ping"}');
      this._quiet = setTimeout(() => this._drop(socket), ANSWER_MS);
    }, QUIET_MS);
  }

  _drop(socket) {
    socket.close(); // a dead peer never answers that either
    socket.dispatchEvent(new CloseEvent("close"));
  }

  _become(state) {
    if (this.state === state) return;
    this.state = state;
    this._tell("state", state);
  }

  _tell(kind, what) {
    for (const listener of this._listeners) listener(kind, what);
  }

  _take(message) {
    switch (message.type) {
      case "hello":
        this._greet(message);
        break;
      case "removed":
        this._forget(keyOf(message));
        break;
      case "error":
        this.refused = message.detail ?? message.title ?? null;
        this._tell("refused", this.refused);
        break;
      case "agent_telemetry":
        if (typeof message.seq === "number") this._seq = message.seq;
        if (message.stream) this._life = message.stream;
        this._fold(message);
        break;
    }
  }

  _greet(message) {
    this._failures = 0;
    if (typeof message.server_time === "number") this.skew = message.server_time - Date.now() / 1000;
    if (message.stream !== this._life || message.resumed === false) {
      this._life = message.stream;
      this._seq = null;
      const stale = (this._stale = new Set(this.agents.keys()));
      if (stale.size) setTimeout(() => stale === this._stale && stale.forEach((key) => this._forget(key)), GONE_AFTER_MS);
    }
    this._become("open");
    this._tell("hello", message);
  }

  _forget(key) {
    this._stale.delete(key);
    if (this.agents.delete(key)) this._touch(key);
  }

  _touch(key) {
    this._changed.add(key);
    this._frame ||= setTimeout(() => (document.hidden ? this._tellChanged() : requestAnimationFrame(() => this._tellChanged())), GATHER_MS);
  }

  _tellChanged() {
    this._frame = 0;
    const changed = this._changed;
    this._changed = new Set();
    this._tell("agents", changed);
  }

  _fold(message) {
    const key = keyOf(message);
    const given = message.data ?? {};
    this._stale.delete(key);
    if (message.event === "snapshot") {
      const agent = given.agent_telemetry;
      if (!agent) return;
      this.agents.set(key, { ...agent, run_id: message.run_id, agent_id: message.agent_id });
      this._touch(key);
      return;
    }
    const agent = this.agents.get(key) ?? this._begin(key, message);
    const events = message.event !== "batch" ? [message] : Array.isArray(given.events) ? given.events : [];
    for (const event of events) {
      this._apply(agent, event);
      this._tell("event", { ...event, run_id: message.run_id, agent_id: event.agent_id ?? message.agent_id });
    }
    if (message.event === "batch") {
      const { events: _, omitted_logs: omitted, ...sums } = given;
      for (const [name, value] of Object.entries(sums)) {
        agent[name] = name === "token_usage" ? { ...agent.token_usage, ...value } : value;
      }
      if (omitted) this._tell("omitted", { key, logs: omitted });
    }
    agent.last_updated = Math.max(agent.last_updated ?? 0, message.timestamp ?? 0);
    this._touch(key);
  }

  _begin(key, message) {
    const agent = {
      run_id: message.run_id, agent_id: message.agent_id, team_id: message.team_id, status: "running",
      started_at: message.timestamp, git_activities: [], git_operations: {}, activity_logs: [], alerts: [],
      samples: { cpu_percent: [], memory_mb: [] },
    };
    this.agents.set(key, agent);
    return agent;
  }

  _apply(agent, { event, data: given, timestamp }) {
    const data = given ?? {};
    switch (event) {
      case "metrics_update":
        for (const other of this.agents.values()) if (other.run_id === agent.run_id) this._measure(other, data, timestamp);
        break;
      case "git_activity":
        if (data.git_activity) commit(agent, { ...data.git_activity, timestamp });
        break;
      case "llm_call":
        if (data.token_usage?.model) agent.token_usage = { ...agent.token_usage, model: data.token_usage.model };
        break;
      case "log_entry":
        if (data.activity_log) agent.activity_logs = [...(agent.activity_logs ?? []), data.activity_log].slice(-LOGS_KEPT);
        break;
      case "alert":
        if (data.alert) agent.alerts = [...(agent.alerts ?? []), { ...data.alert, timestamp }];
        break;
      case "gap":
        agent.lost_events = (agent.lost_events ?? 0) + (data.gap?.lost_events ?? 0);
        break;
      case "lifecycle":
        if (data.lifecycle) live(agent, data.lifecycle, timestamp);
        break;
    }
  }

  _measure(agent, { process_metrics: metrics }, timestamp) {
    if (!metrics || (agent._measured ?? 0) >= timestamp) return; // told of once per agent of the run
    agent._measured = timestamp;
    agent.process_metrics = metrics;
    if (metrics.status !== "dead") {
      const before = agent.samples ?? {};
      const longer = (old, value) => [...(old ?? []), value ?? null].slice(-SAMPLES_KEPT);
      agent.samples = {
        ...before,
        cpu_percent: longer(before.cpu_percent, metrics.tree?.cpu_percent),
        memory_mb: longer(before.memory_mb, metrics.tree?.memory_mb),
      };
    }
    this._touch(keyOf(agent));
  }
}

/** Where git itself speaks in a run, what was only printed does not count. */
function commit(agent, act) {
  const acts = agent.git_activities ?? [];
  const exact = acts.some((known) => known.source === "trace2");
  if (act.source === "output" && exact) return;
  const fresh = act.source === "trace2" && !exact;
  const counts = fresh ? {} : { ...agent.git_operations };
  counts[act.operation] = (counts[act.operation] ?? 0) + 1;
  agent.git_operations = counts;
  agent.git_activities = [...(fresh ? [] : acts), act].slice(-GIT_KEPT);
}

function live(agent, told, timestamp) {
  if (told.state === "started") {
    for (const name of ["argv", "cwd", "host", "labels", "parent_run_id"]) if (told[name] != null) agent[name] = told[name];
    agent.started_at = timestamp;
  } else if (told.state === "stopped" || told.state === "error") {
    agent.status = told.state;
    agent.ended_at = timestamp;
    for (const name of ["exit_code", "signal", "duration_s"]) if (told[name] != null) agent[name] = told[name];
  }
}

const shared = new Map();

/** The stream of an address, one for all who ask; call `release` of it when done. */
export function sharedStream(address) {
  let held = shared.get(address);
  if (!held) shared.set(address, (held = { stream: new Stream(address).start(), users: 0 }));
  held.users += 1;
  return {
    stream: held.stream,
    release() {
      held.users -= 1;
      if (held.users) return;
      held.stream.stop();
      shared.delete(address);
    },
  };
}
