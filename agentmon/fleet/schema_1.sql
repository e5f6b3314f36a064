-- Version 1. Every event of every run, and beside them what the fold over them gives.
-- Columns named *_unix or unix_time are Unix seconds as the run logs tell them; the views give timestamps.

CREATE TABLE agentmon.meta (
    version integer NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),  -- of this database: names its consumer, so that no two share one
    made timestamptz NOT NULL DEFAULT now()
);
INSERT INTO agentmon.meta (version) VALUES (0);

CREATE TABLE agentmon.events (
    seq bigint NOT NULL,
    unix_time double precision NOT NULL,
    time timestamptz GENERATED ALWAYS AS (to_timestamp(unix_time)) STORED,
    run_id text COLLATE "C" NOT NULL,
    team_id text COLLATE "C" NOT NULL,
    agent_id text COLLATE "C" NOT NULL,
    event text COLLATE "C" NOT NULL,
    data jsonb NOT NULL,  -- as on the wire: {"token_usage": {...}}
    PRIMARY KEY (run_id, seq)
);
CREATE INDEX events_time ON agentmon.events USING brin (time) WITH (autosummarize = on);
-- What a run's figures are made of; log entries and metrics are only counted.
CREATE INDEX events_folded ON agentmon.events (run_id, seq) WHERE event NOT IN ('log_entry', 'metrics_update');

-- What came and is no event, or cannot be stored. size is that of the whole body, of which the beginning is kept.
CREATE TABLE agentmon.rejects (
    digest bytea NOT NULL,
    stream_seq bigint NOT NULL,
    received timestamptz NOT NULL DEFAULT now(),
    subject text NOT NULL,
    reason text NOT NULL,
    size integer NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (digest, stream_seq)
);

-- A row a run. What can be counted event by event (up to `started_unix`) is counted as events come; all else is folded
-- from the run's events: version counts what came for the fold, folded is how far the figures are.
CREATE TABLE agentmon.run_figures (
    run_id text COLLATE "C" PRIMARY KEY,
    team_id text COLLATE "C" NOT NULL,  -- this and agent_id: of the run's first event
    agent_id text COLLATE "C" NOT NULL,
    first_seq bigint NOT NULL,
    heard_seq bigint,  -- of the first event that is more than a line of text
    heard_unix double precision,
    last_seq bigint NOT NULL,
    last_unix double precision NOT NULL,
    events bigint NOT NULL,
    folds bigint NOT NULL,  -- how many of these events its figures are made of
    infos bigint NOT NULL,
    warnings bigint NOT NULL,
    errors bigint NOT NULL,
    cleaned bigint NOT NULL,  -- events in which a character was replaced that PostgreSQL does not take
    peak_memory_mb double precision,
    sample_seq bigint,
    sample_cpu_s double precision,
    version bigint NOT NULL DEFAULT 1,
    folded bigint NOT NULL DEFAULT 0,
    folded_at timestamptz,
    started_unix double precision NOT NULL,
    begun_unix double precision,  -- when its first lifecycle event said that it started
    state text,  -- stopped, error, lost; NULL while nobody told of an end
    host text, cwd text, argv json, labels json, parent_run_id text,
    duration_s double precision, exit_code bigint, signal text, reason text, end_cpu_s double precision,
    input_tokens bigint, output_tokens bigint, total_tokens bigint, cache_read_tokens bigint,
    cache_write_tokens bigint, reasoning_tokens bigint, cost_usd double precision, estimated boolean,
    calls bigint, calls_unknown bigint, git json, git_exact_seq bigint, commits bigint, alerts bigint,
    lost_events bigint, lost_bytes bigint
) WITH (fillfactor = 70);
CREATE INDEX run_figures_started_unix ON agentmon.run_figures (started_unix, run_id);
CREATE INDEX run_figures_started ON agentmon.run_figures (to_timestamp(started_unix));
CREATE INDEX run_figures_unfolded ON agentmon.run_figures (folded_at) WHERE folded < version;

CREATE TABLE agentmon.run_agents (
    run_id text COLLATE "C" NOT NULL,
    agent_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (run_id, agent_id)
);

-- Tokens and cost of a run, each token once, by agent and model (an empty model is one that nobody named).
CREATE TABLE agentmon.usage (
    run_id text COLLATE "C" NOT NULL,
    agent_id text COLLATE "C" NOT NULL,
    model text COLLATE "C" NOT NULL,
    calls bigint NOT NULL,
    input_tokens bigint, output_tokens bigint, total_tokens bigint, cache_read_tokens bigint,
    cache_write_tokens bigint, reasoning_tokens bigint, cost_usd double precision
);
CREATE INDEX usage_run ON agentmon.usage (run_id);

-- Metrics of a run's process tree by minute. cpu_time_s, read_bytes, write_bytes: totals since the run began.
CREATE TABLE agentmon.minutes (
    minute timestamptz NOT NULL,
    samples bigint NOT NULL,
    cpu_sum double precision,
    cpu_samples bigint NOT NULL,
    cpu_max double precision,
    memory_max double precision,
    processes_max bigint,
    threads_max bigint,
    cpu_time_s double precision,
    read_bytes bigint,
    write_bytes bigint,
    run_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (run_id, minute)
) WITH (fillfactor = 70);
CREATE INDEX minutes_minute ON agentmon.minutes (minute);
