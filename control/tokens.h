#pragma once
// Tokens: a folder with a file per node, which holds that node's bearer token. Who shows the token
// is that node. A file named NAMESPACE~ACCOUNT holds a service account's.

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "control/caller.h"
#include "control/file_stamp.h"

namespace mesh::control {

// Threads: any.
// Limits: 10 000 files; tokens of 16 to 8192 bytes, others are no tokens. A token that two files
// hold belongs to neither. Unknown tokens make the folder be read again at most ten times a second.
class Tokens final : public Authenticator {
 public:
  explicit Tokens(std::string folder);

  // The file whose token `authorization` ("Bearer TOKEN") shows. Files are read again when they
  // have changed, so a token that was replaced or removed no longer counts.
  std::optional<std::string> node_of(std::string_view authorization);

  // At once.
  void authenticate(const Credentials& credentials, std::function<void(Answer)> then) override;

 private:
  struct File {
    std::string node;
    FileStamp stamp;
    bool ambiguous = false;
  };
  using Digest = std::array<unsigned char, 32>;

  bool is_fresh(const File& file) const;
  void reload();

  std::string folder_;
  std::mutex mutex_;
  // By the token's SHA-256: what is compared does not tell how near a guess was.
  std::map<Digest, File> tokens_;
  std::chrono::steady_clock::time_point next_reload_{};
};

// Equal, in a time that depends on the lengths only.
bool equal_secret(std::string_view a, std::string_view b);

}  // namespace mesh::control
