#pragma once
// Caller: who is at the other end of a call to port 15012, and who finds that out.

#include <expected>
#include <functional>
#include <string>

namespace mesh::control {

// A refusal, in gRPC's terms.
struct RpcError {
  int code = 2;  // grpc::StatusCode
  std::string message;
};
inline constexpr int kInvalidArgument = 3;
inline constexpr int kPermissionDenied = 7;
inline constexpr int kResourceExhausted = 8;
inline constexpr int kInternal = 13;
inline constexpr int kUnavailable = 14;
inline constexpr int kUnauthenticated = 16;

// Either a node's ztunnel, which sees what nodes see and asks for certificates of the pods there;
// or any other workload, which is its service account and nothing more.
struct Caller {
  std::string node;                 // of a ztunnel; else empty
  std::string ns, service_account;  // empty when all that is known is the node
  std::string pod = {};             // the name, if the credentials say it

  bool is_node() const { return !node.empty(); }
  // For logs: "node node-1", "shop/web".
  std::string to_string() const {
    return is_node() ? "node " + node : ns + "/" + service_account + (pod.empty() ? "" : " " + pod);
  }
};

// What a call shows of its caller.
struct Credentials {
  std::string authorization;  // "Bearer TOKEN"; empty when there is none, or more than one
  std::string certificate;    // the URI in the certificate of the connection, verified; or empty
  std::string peer = {};      // where the call comes from, for logs
};

class Authenticator {
 public:
  using Answer = std::expected<Caller, RpcError>;

  virtual ~Authenticator() = default;
  // Calls `then` once: at once, or later on a thread of its own. From any thread. Not at all when
  // the process is ending.
  virtual void authenticate(const Credentials& credentials, std::function<void(Answer)> then) = 0;
};

}  // namespace mesh::control
