#pragma once
// Condition: of which requests an access log speaks, as a small part of CEL says it. Pure.
//
//   response.code >= 400 && !request.path.startsWith('/health')
//   'x-debug' in request.headers || request.method in ['PUT', 'DELETE']
//
// Attributes: request.{path,url_path,host,scheme,method,useragent,id,protocol,duration,headers[…]},
// response.{code,code_details,flags,grpc_status,headers[…]}, xds.{route_name,cluster_name}.
// Operators: || && ! == != < <= > >= in, has(), startsWith(), endsWith(), contains(); texts,
// numbers, true, false, duration('250ms'). Whatever else CEL has is not read, nor is a comparison
// of a number with a text. connection.mtls is none: behind the tunnel Envoy cannot tell.
//
// As in CEL, what asks for something that is not there is neither true nor false, `true || …` and
// `false && …` hold nevertheless, and in the end what is neither is not true.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mesh::telemetry {

enum class Attribute : std::uint8_t {
  kPath,
  kUrlPath,
  kHost,
  kScheme,
  kMethod,
  kUserAgent,
  kRequestId,
  kProtocol,
  kRequestHeader,
  kResponseCode,  // a number
  kResponseDetails,
  kResponseFlags,  // a number: the bits that Envoy gives them; 0: none
  kDuration,       // a number: nanoseconds
  kGrpcStatus,     // a number
  kResponseHeader,
  kRouteName,
  kClusterName,
};

class Condition {
 public:
  // What an attribute is worth: a text, or a number in decimal digits. `header`: lower case, of
  // kRequestHeader and kResponseHeader alone. None: it is not there.
  using Lookup =
      std::function<std::optional<std::string>(Attribute attribute, std::string_view header)>;

  // Limits: 4 096 bytes, 256 terms, 32 levels. None: `problem` says why.
  static std::optional<Condition> parse(std::string_view text, std::string& problem);

  bool holds(const Lookup& lookup) const;

  struct Term;

 private:
  std::shared_ptr<const std::vector<Term>> terms_;  // operands before their operators
};

}  // namespace mesh::telemetry
