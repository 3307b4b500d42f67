#pragma once
// Condition: of which requests an access log speaks, as a small part of CEL says it. Pure.
//
//   response.code >= 400 && !request.path.startsWith('/health')
//   has(request.headers['x-debug']) || request.method in ['PUT', 'DELETE']
//
// Attributes: request.{path,url_path,host,scheme,method,useragent,id,protocol,headers[…]},
// response.{code,code_details,grpc_status,headers[…]}, xds.{route_name,cluster_name}. Operators:
// || && ! == != < <= > >= in, has(), startsWith(), endsWith(), contains(); texts, numbers, true,
// false. Whatever else CEL has is not read, nor is a comparison of a number with a text.
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
  kResponseCode,  // this and the next but one are numbers
  kResponseDetails,
  kGrpcStatus,
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
