//! What can be asked of a server, by its word in a configuration and on a command line.

use serde::Deserialize;

/// The `type` of a check.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Type {
    /// To accept a connection, or to say what is expected.
    Tcp,
    /// To complete a TLS handshake.
    Tls,
    /// To answer a request.
    Http,
    /// To call a service healthy.
    Grpc,
    /// To greet.
    Mysql,
    /// To ask who is there.
    Postgres,
    /// To answer PING.
    Redis,
    /// To greet as a broker.
    Amqp,
    /// To greet and take a hello.
    Smtp,
    /// To accept an anonymous bind.
    Ldap,
    /// To make a command exit with 0.
    Command,
    /// To be said to be well by a file.
    File,
}

impl Type {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Tcp,
        Self::Tls,
        Self::Http,
        Self::Grpc,
        Self::Mysql,
        Self::Postgres,
        Self::Redis,
        Self::Amqp,
        Self::Smtp,
        Self::Ldap,
        Self::Command,
        Self::File,
    ];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Http => "http",
            Self::Grpc => "grpc",
            Self::Mysql => "mysql",
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::Amqp => "amqp",
            Self::Smtp => "smtp",
            Self::Ldap => "ldap",
            Self::Command => "command",
            Self::File => "file",
        }
    }

    /// Whether its first byte may be a TLS handshake's: databases begin in plaintext and then change over.
    pub const fn can_have_tls(self) -> bool {
        !matches!(self, Self::Mysql | Self::Postgres | Self::Command | Self::File)
    }
}
