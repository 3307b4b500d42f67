#include "mesh/kube/config.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::kube {
namespace {

std::string config(const std::string& cluster, const std::string& user) {
  return R"(
apiVersion: v1
kind: Config
current-context: here
contexts:
- {name: here, context: {cluster: c, user: u, namespace: shop}}
- {name: elsewhere, context: {cluster: nowhere, user: u}}
clusters:
- name: c
  cluster: {)" +
         cluster + R"(}
users:
- name: u
  user: {)" +
         user + "}\n";
}

const std::string kServer = "server: 'https://10.0.0.1:6443/'";

std::string why(const std::string& text, std::string_view context = {}) {
  const auto access = read_kubeconfig(text, "/etc/kube", context);
  return access ? std::string("accepted") : access.error();
}

}  // namespace

TEST_CASE("a kubeconfig with data or files") {
  const auto access = read_kubeconfig(
      config(kServer + ", certificate-authority-data: aGVsbG8=", "tokenFile: secrets/token"),
      "/etc/kube", "");
  REQUIRE(access);
  CHECK(access->server == "https://10.0.0.1:6443");
  CHECK(access->ca.text == "hello");
  CHECK(access->token.file == "/etc/kube/secrets/token");
  CHECK(access->ns == "shop");
  const auto files = read_kubeconfig(config(kServer + ", certificate-authority: /ca.crt",
                                            "client-certificate: me.crt, client-key-data: a2V5"),
                                     "/etc/kube", "here");
  REQUIRE(files);
  CHECK(files->ca.file == "/ca.crt");
  CHECK(files->certificate.file == "/etc/kube/me.crt");
  CHECK(files->key.text == "key");
}

TEST_CASE("what is not supported is refused by name") {
  CHECK(why(config(kServer, "exec: {command: aws}")) ==
        "credentials of kind \"exec\" are not supported: use a token or a client certificate");
  CHECK(why(config(kServer, "auth-provider: {name: gcp}")).find("auth-provider") !=
        std::string::npos);
  CHECK(why(config(kServer + ", insecure-skip-tls-verify: true", "token: t")) ==
        "insecure-skip-tls-verify is not supported: give certificate-authority");
  CHECK(why(config("server: 'http://10.0.0.1'", "token: t")) ==
        "server must be https://HOST[:PORT]");
  CHECK(why(config("server: 'https://user@10.0.0.1'", "token: t")) != "accepted");
  CHECK(why(config(kServer + ", proxy-url: 'http://p'", "token: t")) ==
        "proxy-url is not supported");
  CHECK(why(config(kServer, "client-certificate: a")) ==
        "client-certificate and client-key go together");
  CHECK(why(config(kServer + ", certificate-authority-data: '!'", "token: t")) ==
        "certificate-authority-data is not base64");
}

TEST_CASE("a context that leads nowhere says where it ends") {
  CHECK(why(config(kServer, "token: t"), "other") == "there is no context \"other\"");
  CHECK(why(config(kServer, "token: t"), "elsewhere") == "there is no cluster \"nowhere\"");
  CHECK(why("") == "not a kubeconfig");
  CHECK(why("a: b") == "there is no current-context");
  CHECK(load_kubeconfig("/does/not/exist").error() == "/does/not/exist: No such file or directory");
}

}  // namespace mesh::kube
