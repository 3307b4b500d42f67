#include "control/tokens.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/sha.h>

namespace mesh::control {
namespace {

constexpr std::size_t kMinBytes = 16;
constexpr std::size_t kMaxBytes = 8192;
constexpr std::size_t kMaxFiles = 10'000;
constexpr std::chrono::milliseconds kReloadPause{100};

std::array<unsigned char, 32> digest_of(std::string_view token) {
  std::array<unsigned char, 32> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(), digest.data());
  return digest;
}

std::string_view trimmed(std::string_view text) {
  const auto is_space = [](char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; };
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  return text;
}

}  // namespace

bool equal_secret(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

Tokens::Tokens(std::string folder) : folder_(std::move(folder)) {}

std::optional<std::string> Tokens::node_of(std::string_view authorization) {
  constexpr std::string_view kScheme = "Bearer ";
  if (!authorization.starts_with(kScheme)) return {};
  const std::string_view token = authorization.substr(kScheme.size());
  if (token.size() < kMinBytes || token.size() > kMaxBytes) return {};
  const Digest digest = digest_of(token);
  const std::lock_guard lock(mutex_);
  for (const bool again : {false, true}) {
    const auto known = tokens_.find(digest);
    if (known != tokens_.end() && is_fresh(known->second)) {
      if (known->second.ambiguous) return {};
      return known->second.node;
    }
    const auto now = std::chrono::steady_clock::now();
    // A known token whose file changed is looked at at once, a guess is not.
    if (again || (known == tokens_.end() && now < next_reload_)) break;
    next_reload_ = now + kReloadPause;
    reload();
  }
  return {};
}

void Tokens::authenticate(const Credentials& credentials, std::function<void(Answer)> then) {
  auto node = node_of(credentials.authorization);
  if (!node) {
    return then(std::unexpected(RpcError{kUnauthenticated, "no bearer token of a node"}));
  }
  // No node's name has a tilde in it.
  const auto tilde = node->find('~');
  if (tilde == std::string::npos) {
    return then(Caller{.node = *std::move(node), .ns = {}, .service_account = {}});
  }
  then(
      Caller{.node = {}, .ns = node->substr(0, tilde), .service_account = node->substr(tilde + 1)});
}

bool Tokens::is_fresh(const File& file) const {
  return stamp_of_file(folder_ + "/" + file.node) == file.stamp;
}

void Tokens::reload() {
  tokens_.clear();
  DIR* directory = ::opendir(folder_.c_str());
  if (directory == nullptr) return;
  while (const dirent* entry = ::readdir(directory)) {
    const std::string node = entry->d_name;
    if (node.starts_with('.') || tokens_.size() >= kMaxFiles) continue;
    const int fd = ::open((folder_ + "/" + node).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) continue;
    struct stat s{};
    std::string text(kMaxBytes + 2, '\0');
    const bool regular = ::fstat(fd, &s) == 0 && S_ISREG(s.st_mode);
    const ssize_t got = regular ? ::read(fd, text.data(), text.size()) : -1;
    ::close(fd);
    if (got < 0) continue;
    const std::string_view token =
        trimmed(std::string_view(text).substr(0, static_cast<std::size_t>(got)));
    if (token.size() < kMinBytes || token.size() > kMaxBytes) continue;
    const File file{node, stamp_of(s), false};
    const auto [same, is_new] = tokens_.emplace(digest_of(token), file);
    if (!is_new) same->second.ambiguous = true;
  }
  ::closedir(directory);
}

}  // namespace mesh::control
