#include "mesh/kube/config.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "mesh/base/base64.h"
#include "mesh/base/result.h"
#include "mesh/manifest/yaml.h"
#include "mesh/net/address.h"

namespace mesh::kube {
namespace {

using manifest::Value;

constexpr std::size_t kMaxConfig = 1u << 20;
constexpr std::size_t kMaxFile = 64u << 10;
constexpr std::string_view kVolume = "/var/run/secrets/kubernetes.io/serviceaccount";

std::unexpected<std::string> wrong(std::string why) { return std::unexpected(std::move(why)); }

std::expected<std::string, std::string> read_file(const std::string& path, std::size_t max) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return wrong(path + ": " + std::strerror(errno));
  struct stat s{};
  std::string text;
  const bool regular = ::fstat(fd, &s) == 0 && S_ISREG(s.st_mode);
  std::array<char, 16384> buffer;
  ssize_t got = regular ? 1 : -1;
  while (got > 0 && text.size() <= max) {
    got = ::read(fd, buffer.data(), buffer.size());
    if (got > 0) text.append(buffer.data(), static_cast<std::size_t>(got));
  }
  ::close(fd);
  if (got < 0) return wrong(path + ": cannot be read");
  if (text.size() > max) return wrong(path + ": larger than a file of its kind is");
  return text;
}

// What is null is not there.
const Value* value_of(const Value* map, std::string_view key) {
  const Value* value = member(map, key);
  return value == nullptr || value->is_null() ? nullptr : value;
}

std::string text_of(const Value* map, std::string_view key) {
  const Value* value = value_of(map, key);
  return value == nullptr || value->type != Value::Type::kScalar ? std::string() : value->text;
}

// The item of `list` that is called `name`, and in it what is under `key`.
const Value* named(const Value* list, std::string_view name, std::string_view key) {
  if (list == nullptr || list->type != Value::Type::kList) return nullptr;
  for (const Value& item : list->items) {
    if (text_of(&item, "name") == name) return value_of(&item, key);
  }
  return nullptr;
}

// KEY-data (base64) or KEY (a path); the data wins, as with kubectl.
std::expected<Material, std::string> material(const Value* map, const std::string& key,
                                              std::string_view folder) {
  Material found;
  if (const std::string data = text_of(map, key + "-data"); !data.empty()) {
    auto text = base64_decode(data);
    if (!text || text->empty()) return wrong(key + "-data is not base64");
    found.text = *std::move(text);
  } else if (std::string path = text_of(map, key); !path.empty()) {
    found.file = path.front() == '/' ? std::move(path) : std::string(folder) + "/" + path;
  }
  return found;
}

std::expected<Done, std::string> read_cluster(const Value* cluster, std::string_view folder,
                                              Access& access) {
  access.server = text_of(cluster, "server");
  while (access.server.ends_with('/')) access.server.pop_back();
  if (!access.server.starts_with("https://") || access.server.size() == 8) {
    return wrong("server must be https://HOST[:PORT]");
  }
  if (access.server.find_first_of(" \t\r\n?#@") != std::string::npos) {
    return wrong("server must be https://HOST[:PORT], without a user or a query");
  }
  const std::string insecure = text_of(cluster, "insecure-skip-tls-verify");
  if (!insecure.empty() && insecure != "false") {
    return wrong("insecure-skip-tls-verify is not supported: give certificate-authority");
  }
  if (value_of(cluster, "proxy-url") != nullptr) return wrong("proxy-url is not supported");
  if (value_of(cluster, "tls-server-name") != nullptr) {
    return wrong("tls-server-name is not supported");
  }
  auto ca = material(cluster, "certificate-authority", folder);
  if (!ca) return wrong(ca.error());
  access.ca = *std::move(ca);
  return Done{};
}

std::expected<Done, std::string> read_user(const Value* user, std::string_view folder,
                                           Access& access) {
  for (const std::string_view refused : {"exec", "auth-provider", "username", "password", "as"}) {
    if (value_of(user, refused) == nullptr) continue;
    return wrong("credentials of kind \"" + std::string(refused) +
                 "\" are not supported: use a token or a client certificate");
  }
  if (const std::string file = text_of(user, "tokenFile"); !file.empty()) {
    access.token.file = file.front() == '/' ? file : std::string(folder) + "/" + file;
  } else {
    access.token.text = text_of(user, "token");
  }
  auto certificate = material(user, "client-certificate", folder);
  if (!certificate) return wrong(certificate.error());
  auto key = material(user, "client-key", folder);
  if (!key) return wrong(key.error());
  if (certificate->empty() != key->empty()) {
    return wrong("client-certificate and client-key go together");
  }
  access.certificate = *std::move(certificate);
  access.key = *std::move(key);
  return Done{};
}

}  // namespace

std::expected<std::string, std::string> Material::read() const {
  if (file.empty()) return text;
  return read_file(file, kMaxFile);
}

AccessResult read_kubeconfig(std::string_view text, std::string_view folder,
                             std::string_view context) {
  const manifest::YamlFile yaml = manifest::read_yaml(text);
  if (!yaml.errors.empty()) return wrong(yaml.errors.front().message);
  if (yaml.documents.size() != 1) return wrong("not a kubeconfig");
  const Value* root = &yaml.documents.front();
  const std::string current =
      context.empty() ? text_of(root, "current-context") : std::string(context);
  if (current.empty()) return wrong("there is no current-context");
  const Value* chosen = named(value_of(root, "contexts"), current, "context");
  if (chosen == nullptr) return wrong("there is no context \"" + current.substr(0, 128) + "\"");
  const std::string cluster_name = text_of(chosen, "cluster");
  const Value* cluster = named(value_of(root, "clusters"), cluster_name, "cluster");
  if (cluster == nullptr)
    return wrong("there is no cluster \"" + cluster_name.substr(0, 128) + "\"");
  const std::string user_name = text_of(chosen, "user");
  const Value* user = named(value_of(root, "users"), user_name, "user");
  if (user == nullptr && !user_name.empty()) {
    return wrong("there is no user \"" + user_name.substr(0, 128) + "\"");
  }
  Access access;
  if (const auto read = read_cluster(cluster, folder, access); !read) return wrong(read.error());
  if (const auto read = read_user(user, folder, access); !read) return wrong(read.error());
  if (std::string ns = text_of(chosen, "namespace"); !ns.empty()) access.ns = std::move(ns);
  return access;
}

AccessResult load_kubeconfig(const std::string& path, std::string_view context) {
  const auto text = read_file(path, kMaxConfig);
  if (!text) return wrong(text.error());
  const auto slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash);
  auto access = read_kubeconfig(*text, folder, context);
  if (!access) return wrong(path + ": " + access.error());
  return access;
}

AccessResult in_cluster() {
  const char* host = std::getenv("KUBERNETES_SERVICE_HOST");
  const char* port = std::getenv("KUBERNETES_SERVICE_PORT");
  if (host == nullptr || port == nullptr || !net::parse_port(port)) {
    return wrong("not in a cluster (KUBERNETES_SERVICE_HOST is not set): give a kubeconfig");
  }
  const auto address = net::IpAddress::parse(host);
  if (!address) return wrong("KUBERNETES_SERVICE_HOST is not an address");
  const bool v6 = std::string_view(host).find(':') != std::string_view::npos;
  Access access;
  access.server = std::string("https://") + (v6 ? "[" : "") + host + (v6 ? "]:" : ":") + port;
  access.ca.file = std::string(kVolume) + "/ca.crt";
  access.token.file = std::string(kVolume) + "/token";
  for (const Material* needed : {&access.ca, &access.token}) {
    if (const auto text = needed->read(); !text) return wrong(text.error());
  }
  if (const auto ns = Material{.text = {}, .file = std::string(kVolume) + "/namespace"}.read()) {
    access.ns = *ns;
  }
  return access;
}

}  // namespace mesh::kube
