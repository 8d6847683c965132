//! Messages of `grpc.health.v1.Health/Check`: <https://github.com/grpc/grpc-proto/blob/master/grpc/health/v1/health.proto>.

pub use prost::Message;

/// Which service is asked about; empty means the server as a whole.
#[derive(Clone, PartialEq, Message)]
pub struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    pub service: String,
}

/// What the server says.
#[derive(Clone, PartialEq, Message)]
pub struct HealthCheckResponse {
    /// 0 unknown, 1 serving, 2 not serving, 3 no such service.
    #[prost(int32, tag = "1")]
    pub status: i32,
}
