#include "ebpf/pod_store.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>

#include "ebpf/unique_fd.h"

namespace mesh::ebpf {
namespace {

using nlohmann::json;

constexpr std::size_t kFileBytesMax = 16u << 20;
constexpr int kFormat = 1;

std::string boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  return id;
}

std::string reason(int error) { return std::strerror(error); }

// Members of our own file; what has another shape than we write is damage.
std::optional<std::string> text_of(const json& object, const char* member) {
  const auto found = object.find(member);
  if (found == object.end() || !found->is_string()) return std::nullopt;
  return *found->get_ptr<const std::string*>();
}

std::optional<std::uint64_t> number_of(const json& object, const char* member) {
  const auto found = object.find(member);
  if (found == object.end() || !found->is_number_unsigned()) return std::nullopt;
  return *found->get_ptr<const json::number_unsigned_t*>();
}

std::optional<StoredPod> read_pod(const json& object) {
  if (!object.is_object()) return std::nullopt;
  const auto uid = text_of(object, "uid"), name = text_of(object, "name");
  const auto ns = text_of(object, "namespace"), account = text_of(object, "serviceAccount");
  const auto path = text_of(object, "netnsPath");
  const auto inode = number_of(object, "netnsInode"), cookie = number_of(object, "netnsCookie");
  if (!uid || !name || !ns || !account || !path || !inode || !cookie) return std::nullopt;
  StoredPod pod{
      .info = {*uid, *name, *ns, *account, {}, *path, text_of(object, "containerId").value_or("")},
      .netns_inode = *inode,
      .netns_cookie = *cookie};
  const auto ips = object.find("ips"), settings = object.find("savedSettings");
  const auto clsact = object.find("madeClsact");
  if (ips == object.end() || settings == object.end() || clsact == object.end())
    return std::nullopt;
  for (const json& each : *ips) {
    const auto* text = each.get_ptr<const std::string*>();
    const auto ip = text != nullptr ? net::IpAddress::parse(*text) : std::nullopt;
    if (!ip) return std::nullopt;
    pod.info.ips.push_back(*ip);
  }
  for (const json& each : *settings) {
    if (!each.is_object()) return std::nullopt;
    const auto setting = text_of(each, "name"), value = text_of(each, "value");
    if (!setting || !value) return std::nullopt;
    pod.saved_settings.push_back({*setting, *value});
  }
  for (const json& each : *clsact) {
    const auto* ifindex = each.get_ptr<const json::number_unsigned_t*>();
    if (ifindex == nullptr) return std::nullopt;
    pod.made_clsact.push_back(static_cast<unsigned>(*ifindex));
  }
  return pod;
}

json write_pod(const StoredPod& pod) {
  json ips = json::array(), settings = json::array();
  for (const net::IpAddress& ip : pod.info.ips) ips.push_back(ip.to_string());
  for (const SavedSetting& each : pod.saved_settings)
    settings.push_back({{"name", each.name}, {"value", each.value}});
  return {{"uid", pod.info.uid},
          {"name", pod.info.name},
          {"namespace", pod.info.ns},
          {"serviceAccount", pod.info.service_account},
          {"ips", std::move(ips)},
          {"netnsPath", pod.info.netns_path},
          {"containerId", pod.info.container_id},
          {"netnsInode", pod.netns_inode},
          {"netnsCookie", pod.netns_cookie},
          {"savedSettings", std::move(settings)},
          {"madeClsact", pod.made_clsact}};
}

// The namespace at `path`, if it is the one we look for.
std::optional<net::NetworkNamespace> try_path(const std::string& path, const StoredPod& pod) {
  struct stat status{};
  if (path.empty() || stat(path.c_str(), &status) < 0 || status.st_ino != pod.netns_inode)
    return std::nullopt;
  auto netns = net::NetworkNamespace::open(path);
  if (!netns) return std::nullopt;
  const auto cookie = cookie_of(*netns);
  if (!cookie || *cookie != pod.netns_cookie) return std::nullopt;
  return *std::move(netns);
}

}  // namespace

std::string format_pods(const std::vector<StoredPod>& pods, std::string_view boot) {
  json list = json::array();
  for (const StoredPod& pod : pods) list.push_back(write_pod(pod));
  const json document = {{"format", kFormat}, {"bootId", boot}, {"pods", std::move(list)}};
  return document.dump(1, ' ', false, json::error_handler_t::replace) + "\n";
}

std::expected<std::vector<StoredPod>, std::string> parse_pods(std::string_view text,
                                                              std::string_view boot) {
  const json document = json::parse(text, nullptr, false);
  if (!document.is_object()) return std::unexpected("it is no JSON object");
  if (number_of(document, "format") != kFormat) return std::unexpected("its format is not 1");
  const auto written_in = text_of(document, "bootId");
  const auto pods = document.find("pods");
  if (!written_in || pods == document.end() || !pods->is_array())
    return std::unexpected("bootId or pods is missing");
  std::vector<StoredPod> stored;
  if (*written_in != boot) return stored;
  for (const json& each : *pods) {
    auto pod = read_pod(each);
    if (!pod) return std::unexpected("pod " + std::to_string(stored.size() + 1) + " is incomplete");
    stored.push_back(*std::move(pod));
  }
  return stored;
}

std::expected<std::vector<StoredPod>, std::string> PodStore::load() const {
  std::ifstream file(path());
  if (!file) {
    if (errno == ENOENT) return std::vector<StoredPod>();
    return std::unexpected("cannot read " + path() + ": " + reason(errno));
  }
  const std::string text(std::istreambuf_iterator<char>(file), {});
  if (text.size() > kFileBytesMax) return std::unexpected(path() + " is over 16 MiB");
  auto pods = parse_pods(text, boot_id());
  if (!pods)
    return std::unexpected(path() + " is damaged: " + pods.error() +
                           "; move it away to start without the pods it knew");
  return pods;
}

std::expected<void, std::string> PodStore::save(const std::vector<StoredPod>& pods) const {
  const std::string text = format_pods(pods, boot_id());
  const std::string fresh = path() + ".new";
  const UniqueFd file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file) return std::unexpected("cannot write " + fresh + ": " + reason(errno));
  for (std::string_view rest = text; !rest.empty();) {
    const ssize_t written = ::write(file.get(), rest.data(), rest.size());
    if (written < 0) return std::unexpected("cannot write " + fresh + ": " + reason(errno));
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
  if (fsync(file.get()) < 0 || rename(fresh.c_str(), path().c_str()) < 0)
    return std::unexpected("cannot replace " + path() + ": " + reason(errno));
  return {};
}

Result<std::uint64_t> cookie_of(const net::NetworkNamespace& netns) {
  std::uint64_t cookie = 0;
  int error = 0;
  TRY_DO(netns.run([&] {
    const UniqueFd probe(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    socklen_t size = sizeof cookie;
    if (!probe || getsockopt(probe.get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) < 0)
      error = errno;
  }));
  if (error != 0) return failed_with_errno(error, "cookie of network namespace");
  return cookie;
}

Result<net::NetworkNamespace> find_namespace(const StoredPod& pod) {
  if (auto found = try_path(pod.info.netns_path, pod)) return *std::move(found);
  std::error_code ignored;
  for (const char* folder : {"/run/netns", "/var/run/netns"})
    for (const auto& entry : std::filesystem::directory_iterator(folder, ignored))
      if (auto found = try_path(entry.path().string(), pod)) return *std::move(found);
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    if (auto found = try_path("/proc/" + name + "/ns/net", pod)) return *std::move(found);
  }
  return failed(Reason::kUnreachable, "find network namespace");
}

}  // namespace mesh::ebpf
