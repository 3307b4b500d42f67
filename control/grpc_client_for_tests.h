#pragma once
// A data plane's side of port 15012, in a few lines, over grpc++: for tests only.

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "mesh/xds/ads_message.h"

namespace mesh::control {

class TestClient {
 public:
  // Trusts `root_pem`; shows `token` unless it is empty, and so with the certificate.
  TestClient(int port, const std::string& root_pem, std::string token,
             const std::string& certificate_pem = {}, const std::string& key_pem = {});
  ~TestClient();

  // A call with one request and one answer. The status code is 0 with an answer.
  struct Answer {
    int status = 0;
    std::string message;
    std::string bytes;
  };
  Answer call(const std::string& method, const std::string& request);

  // The discovery stream, which ends after `life` at the latest.
  void open(std::chrono::seconds life = std::chrono::seconds(30));
  void send(const xds::DeltaRequest& request);
  // none: nothing came in `patience`, or the stream has ended.
  std::optional<xds::DeltaResponse> receive(
      std::chrono::milliseconds patience = std::chrono::seconds(5));
  // Ends the stream (cancelling it if it is open) and returns its status code.
  int close();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::control
