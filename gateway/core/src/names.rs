//! Every metric's name, in one place. Labels are frontends, backends, servers and tables, which the
//! configuration bounds, and reason words, which the source does.

/// `headgate_ready`: 1 while the gateway says that it is ready.
pub const READY: &str = "headgate_ready";
/// `headgate_connections{frontend}`: client connections that are open now.
pub const CONNECTIONS: &str = "headgate_connections";
/// `headgate_connections_total{frontend}`: client connections accepted.
pub const CONNECTIONS_TOTAL: &str = "headgate_connections_total";
/// `headgate_accept_errors_total{frontend}`: connections that could not be accepted.
pub const ACCEPT_ERRORS_TOTAL: &str = "headgate_accept_errors_total";
/// `headgate_tls_failures_total{frontend}`: TLS handshakes that failed.
pub const TLS_FAILURES_TOTAL: &str = "headgate_tls_failures_total";
/// `headgate_tls_certificates_broken{frontend}`: certificates whose files do not load, are expired or not
/// valid yet, so that the one before is shown.
pub const TLS_CERTIFICATES_BROKEN: &str = "headgate_tls_certificates_broken";
/// `headgate_tls_handshakes_total{frontend,kind}`: TLS handshakes, `full`, or `resumed` from a session.
pub const TLS_HANDSHAKES_TOTAL: &str = "headgate_tls_handshakes_total";
/// `headgate_failures_total{frontend,termination}`: requests that did not end as they should, by the
/// termination state of the log.
pub const FAILURES_TOTAL: &str = "headgate_failures_total";
/// `headgate_queue_seconds{backend}`: how long requests waited for a place on a server, of those that had to.
pub const QUEUE_SECONDS: &str = "headgate_queue_seconds";
/// `headgate_response_seconds{backend}`: from a request to a server until its answer began.
pub const RESPONSE_SECONDS: &str = "headgate_response_seconds";
/// `headgate_total_seconds{backend}`: from the end of a request's head until its answer had ended.
pub const TOTAL_SECONDS: &str = "headgate_total_seconds";
/// `headgate_requests_total{frontend,code}`: requests by class of the answer's status, `1xx` to `5xx`,
/// or `none` where the client got no answer.
pub const REQUESTS_TOTAL: &str = "headgate_requests_total";
/// `headgate_request_duration_seconds{frontend}`: from the request to the end of its answer.
pub const REQUEST_DURATION: &str = "headgate_request_duration_seconds";
/// `headgate_tcp_sessions_total{frontend,termination}`: connections of mode tcp that have ended, by the
/// termination state of the log.
pub const TCP_SESSIONS_TOTAL: &str = "headgate_tcp_sessions_total";
/// `headgate_tcp_bytes_total{frontend,direction}`: bytes of mode tcp, `in` from clients and `out` to them.
pub const TCP_BYTES_TOTAL: &str = "headgate_tcp_bytes_total";
/// `headgate_refused_total{frontend,reason}`: requests refused here, by reason word.
pub const REFUSED_TOTAL: &str = "headgate_refused_total";
/// `headgate_limit_dry_runs_total{frontend,reason}`: requests that a limit with `dry_run` would refuse.
pub const LIMIT_DRY_RUNS_TOTAL: &str = "headgate_limit_dry_runs_total";
/// `headgate_limit_marks_total{frontend,reason}`: requests that a limit has marked.
pub const LIMIT_MARKS_TOTAL: &str = "headgate_limit_marks_total";
/// `headgate_limit_queued_total{frontend}`: requests that had to wait for their turn under a limit.
pub const LIMIT_QUEUED_TOTAL: &str = "headgate_limit_queued_total";
/// `headgate_scanners_total{frontend,reason}`: requests that only scanners make, refused or not.
pub const SCANNERS_TOTAL: &str = "headgate_scanners_total";
/// `headgate_tarpits{frontend}`: requests in a tarpit now.
pub const TARPITS: &str = "headgate_tarpits";
/// `headgate_retries_total{backend,reason}`: tries after the first, by what the one before had failed of.
pub const RETRIES_TOTAL: &str = "headgate_retries_total";
/// `headgate_queue{backend}`: requests that wait for a place on a server now.
pub const QUEUE: &str = "headgate_queue";
/// `headgate_queued_total{backend}`: requests that had to wait for a place on a server.
pub const QUEUED_TOTAL: &str = "headgate_queued_total";
/// `headgate_server_queue{backend,server}`: requests that wait for this server and no other now.
pub const SERVER_QUEUE: &str = "headgate_server_queue";
/// `headgate_server_up{backend,server}`: 1 while the server may get work.
pub const SERVER_UP: &str = "headgate_server_up";
/// `headgate_server_silent{backend,server}`: 1 while the server is left alone, since it answers nothing while
/// others do.
pub const SERVER_SILENT: &str = "headgate_server_silent";
/// `headgate_server_breaker_open{backend,server}`: 1 while the server gets nothing, or one request at a time, since it
/// failed.
pub const SERVER_BREAKER_OPEN: &str = "headgate_server_breaker_open";
/// `headgate_server_active{backend,server}`: requests that run on the server now.
pub const SERVER_ACTIVE: &str = "headgate_server_active";
/// `headgate_server_requests_total{backend,server}`: tries sent to the server.
pub const SERVER_REQUESTS_TOTAL: &str = "headgate_server_requests_total";
/// `headgate_server_weight{backend,server}`: its weight now.
pub const SERVER_WEIGHT: &str = "headgate_server_weight";
/// `headgate_server_agent_errors_total{backend,server}`: questions to its agent without an answer that is one.
pub const SERVER_AGENT_ERRORS_TOTAL: &str = "headgate_server_agent_errors_total";
/// `headgate_server_errors_total{backend,server}`: tries that the server failed.
pub const SERVER_ERRORS_TOTAL: &str = "headgate_server_errors_total";
/// `headgate_server_checks_total{backend,server,result}`: probes of the server, `passed` or `failed`.
pub const SERVER_CHECKS_TOTAL: &str = "headgate_server_checks_total";
/// `headgate_server_check_duration_seconds{backend,server}`: how long the last one took.
pub const SERVER_CHECK_SECONDS: &str = "headgate_server_check_duration_seconds";
/// `headgate_server_check_status{backend,server,status}`: 1 for how the last one ended, in HAProxy's words.
pub const SERVER_CHECK_STATUS: &str = "headgate_server_check_status";
/// `headgate_resolver_answers_total{backend,name,result}`: questions for a name of servers, by how they ended:
/// `valid`, `nx`, `refused`, `timeout` or `other`.
pub const RESOLVER_ANSWERS_TOTAL: &str = "headgate_resolver_answers_total";
/// `headgate_resolver_age_seconds{backend,name}`: time since the last valid answer; absent before the first.
pub const RESOLVER_AGE_SECONDS: &str = "headgate_resolver_age_seconds";
/// `headgate_resolver_left_over{backend,name}`: addresses of the last valid answer for which there is no server.
pub const RESOLVER_LEFT_OVER: &str = "headgate_resolver_left_over";
/// `headgate_table_entries{table}`: entries in the stick table.
pub const TABLE_ENTRIES: &str = "headgate_table_entries";
/// `headgate_table_evicted_total{table}`: entries that went before their time, as it was full.
pub const TABLE_EVICTED_TOTAL: &str = "headgate_table_evicted_total";
/// `headgate_table_refused_total{table}`: entries not made, as all were busy.
pub const TABLE_REFUSED_TOTAL: &str = "headgate_table_refused_total";
/// `headgate_list_entries{list}`: lines of the list or map in use.
pub const LIST_ENTRIES: &str = "headgate_list_entries";
/// `headgate_list_broken{list}`: 1 while its file has changed to something that can't be used.
pub const LIST_BROKEN: &str = "headgate_list_broken";
/// `headgate_list_reloads_total{list}`: times its file was read again.
pub const LIST_RELOADS_TOTAL: &str = "headgate_list_reloads_total";
/// `headgate_identity_proofs{identity}`: credentials of which it is remembered whose they are.
pub const IDENTITY_PROOFS: &str = "headgate_identity_proofs";
/// `headgate_identity_broken{identity}`: 1 while the file with its keys has changed to something that can't be used.
pub const IDENTITY_BROKEN: &str = "headgate_identity_broken";
/// `headgate_peer_up{peer}`: 1 while the session with the peer stands.
pub const PEER_UP: &str = "headgate_peer_up";
/// `headgate_peer_sessions_total{peer}`: sessions with the peer.
pub const PEER_SESSIONS_TOTAL: &str = "headgate_peer_sessions_total";
/// `headgate_peer_faults_total{peer}`: sessions that ended since the peer was silent or broke the protocol.
pub const PEER_FAULTS_TOTAL: &str = "headgate_peer_faults_total";
/// `headgate_peer_updates_total{peer}`: entries taken from the peer.
pub const PEER_UPDATES_TOTAL: &str = "headgate_peer_updates_total";
/// `headgate_peer_sent_bytes_total{peer}`: bytes sent to the peer.
pub const PEER_SENT_BYTES_TOTAL: &str = "headgate_peer_sent_bytes_total";
/// `headgate_cluster_nodes_heard`: nodes whose numbers limits for the cluster go by, with this one. With fewer
/// than there are, each side of a cut keeps its own bound.
pub const CLUSTER_NODES_HEARD: &str = "headgate_cluster_nodes_heard";
/// `headgate_spans_exported_total`: spans that the collector has taken.
pub const SPANS_EXPORTED_TOTAL: &str = "headgate_spans_exported_total";
/// `headgate_spans_dropped_total`: spans dropped, as the collector was too slow or gone.
pub const SPANS_DROPPED_TOTAL: &str = "headgate_spans_dropped_total";
/// `headgate_log_dropped_total`: access log lines dropped, as the log was too slow.
pub const LOG_DROPPED_TOTAL: &str = "headgate_log_dropped_total";
