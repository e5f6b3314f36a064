-- What other programs read. Days are those of the reader's time zone (SET TIME ZONE), and of the beginning of a run.

CREATE OR REPLACE VIEW agentmon.runs AS
SELECT
    run_id,
    -- a run that tells nothing for so long has lost its collector or its machine
    CASE WHEN state IS NOT NULL THEN state
         WHEN last_unix < extract(epoch FROM now()) - 900 THEN 'lost' ELSE 'running' END AS state,
    team_id, agent_id, host, to_timestamp(started_unix) AS started, to_timestamp(last_unix) AS ended,
    coalesce(duration_s, greatest(0, last_unix - started_unix)) AS duration_s,
    exit_code, signal, reason, argv, cwd, labels, parent_run_id,
    calls, calls_unknown, input_tokens, output_tokens, total_tokens, cache_read_tokens, cache_write_tokens,
    reasoning_tokens, cost_usd, estimated, git, commits,
    greatest(sample_cpu_s, end_cpu_s) AS cpu_time_s, peak_memory_mb,
    infos, warnings, errors, alerts, lost_events, lost_bytes, events, cleaned, git_exact_seq,
    started_unix, last_unix AS ended_unix
FROM agentmon.run_figures;
COMMENT ON VIEW agentmon.runs IS 'A row a run: how it went, and its tokens and cost, every token counted once.';

CREATE OR REPLACE VIEW agentmon.usage_by_day AS
SELECT
    to_timestamp(r.started_unix)::date AS day, r.team_id, u.model,
    count(DISTINCT r.run_id) AS runs, sum(u.calls) AS calls,
    sum(u.input_tokens) AS input_tokens, sum(u.output_tokens) AS output_tokens,
    sum(u.total_tokens) AS total_tokens, sum(u.cache_read_tokens) AS cache_read_tokens,
    sum(u.cache_write_tokens) AS cache_write_tokens, sum(u.reasoning_tokens) AS reasoning_tokens,
    sum(u.cost_usd) AS cost_usd
FROM agentmon.usage u JOIN agentmon.run_figures r USING (run_id)
WHERE u.calls <> 0 OR u.input_tokens <> 0 OR u.output_tokens <> 0 OR u.total_tokens <> 0 OR u.cost_usd <> 0
GROUP BY 1, 2, 3;
COMMENT ON VIEW agentmon.usage_by_day IS 'Tokens and cost per day, team and model.';

CREATE OR REPLACE VIEW agentmon.git_activity AS
SELECT
    e.time, e.run_id, e.seq, e.team_id, e.agent_id,
    g ->> 'operation' AS operation, g ->> 'repo' AS repo, g ->> 'branch' AS branch, g ->> 'sha' AS sha,
    g ->> 'message' AS message, (g ->> 'files_changed')::bigint AS files_changed,
    (g ->> 'insertions')::bigint AS insertions, (g ->> 'deletions')::bigint AS deletions, g ->> 'source' AS source
FROM agentmon.events e
JOIN agentmon.run_figures r USING (run_id)
CROSS JOIN LATERAL (SELECT e.data -> 'git_activity' AS g) AS activity
-- where git itself speaks in a run, what was only printed does not count
WHERE e.event = 'git_activity'
  AND (r.git_exact_seq IS NULL OR (e.seq >= r.git_exact_seq AND coalesce(g ->> 'source', 'output') <> 'output'));
COMMENT ON VIEW agentmon.git_activity IS 'What happened in git, each act once.';

CREATE OR REPLACE VIEW agentmon.metrics_by_minute AS
SELECT
    m.minute, m.run_id, r.team_id, r.agent_id, m.samples, m.cpu_sum / nullif(m.cpu_samples, 0) AS cpu_percent,
    m.cpu_max, m.memory_max AS memory_mb_max, m.processes_max, m.threads_max, m.cpu_time_s, m.read_bytes, m.write_bytes
FROM agentmon.minutes m JOIN agentmon.run_figures r USING (run_id);
COMMENT ON VIEW agentmon.metrics_by_minute IS
    'The process tree of a run by minute: cpu_percent is the mean of one core, memory in MiB.';
