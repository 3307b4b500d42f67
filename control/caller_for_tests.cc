// A caller of port 15012 on the command line, for tests in other languages:
//
//   control_caller certificate PORT ROOT_FILE TOKEN_FILE CSR_FILE [IDENTITY]
//   control_caller resources PORT ROOT_FILE TOKEN_FILE NODE
//
// TOKEN_FILE "-": none; with WEFT_CERTIFICATE and WEFT_KEY (files), shows them on the connection.
// Prints one line of JSON; fails only when it cannot ask.

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include <nlohmann/json.hpp>

#include "ca.pb.h"
#include "control/grpc_client_for_tests.h"

namespace {

using mesh::control::TestClient;
using nlohmann::json;

std::string text_of(const char* path) {
  if (path == nullptr || std::string(path) == "-") return {};
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  std::string all = text.str();
  return all;
}

std::string token_of(const char* path) {
  std::string token = text_of(path);
  while (!token.empty() && token.back() <= ' ') token.pop_back();
  return token;
}

json certificate(TestClient& client, const char* csr, const char* identity) {
  istio::v1::auth::IstioCertificateRequest request;
  request.set_csr(text_of(csr));
  request.set_validity_duration(86400);
  if (identity != nullptr) {
    (*request.mutable_metadata()->mutable_fields())["ImpersonatedIdentity"].set_string_value(
        identity);
  }
  const auto answer = client.call("/istio.v1.auth.IstioCertificateService/CreateCertificate",
                                  request.SerializeAsString());
  json said = {{"status", answer.status}, {"message", answer.message}, {"chain", json::array()}};
  istio::v1::auth::IstioCertificateResponse response;
  if (answer.status == 0 && response.ParseFromString(answer.bytes)) {
    for (const std::string& one : response.cert_chain()) said["chain"].push_back(one);
  }
  return said;
}

json resources(TestClient& client, const char* node) {
  client.open();
  mesh::xds::DeltaRequest request;
  request.node = mesh::xds::Node{.id = "ztunnel~10.0.0.1~z.weft-system~weft-system.svc",
                                 .metadata = {{"NODE_NAME", node}}};
  request.type_url = std::string(mesh::xds::type_url(mesh::xds::ResourceType::kAddress));
  client.send(request);
  const auto response = client.receive(std::chrono::seconds(20));
  if (!response) return {{"status", client.close()}, {"resources", 0}};
  return {{"status", 0}, {"resources", response->resources.size()}};
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  if (argc < 6 || (what != "certificate" && what != "resources")) return 2;
  TestClient client(std::atoi(argv[2]), text_of(argv[3]), token_of(argv[4]),
                    text_of(std::getenv("WEFT_CERTIFICATE")), text_of(std::getenv("WEFT_KEY")));
  const json said = what == "certificate"
                        ? certificate(client, argv[5], argc > 6 ? argv[6] : nullptr)
                        : resources(client, argv[5]);
  std::printf("%s\n", said.dump().c_str());
  return 0;
}
