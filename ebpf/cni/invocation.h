#pragma once
// What a container runtime asks of a CNI plugin: CNI_* variables and a configuration on stdin, read
// into values. Pure.
//
// Accepted: CNI 0.3.0 to 1.1.0, for the members we read are the same in all of them.
// Limits: 1 MiB of configuration, 32 levels of nesting, 16 KiB of CNI_ARGS, 253 bytes a name, 64
// excluded namespaces, 16 addresses, 1024 attachments that a GC leaves alone.

#include <cstddef>
#include <expected>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace mesh::ebpf::cni {

inline constexpr std::size_t kConfigBytesMax = 1u << 20;
inline constexpr std::size_t kArgumentsBytesMax = 16 * 1024;
inline constexpr std::size_t kAttachmentsMax = 1024;
// What we answer to those who do not say what they speak.
inline constexpr std::string_view kNewestVersion = "1.1.0";

// The error codes of the CNI specification, and from 100 on our own.
enum class Code : unsigned {
  kIncompatibleVersion = 1,
  kInvalidEnvironment = 4,
  kIo = 5,
  kUndecodable = 6,
  kInvalidConfig = 7,
  kTryAgainLater = 11,
  kRefused = 100,
};

struct CniError {
  Code code = Code::kRefused;
  std::string message;
  std::string details = {};
};
template <class T>
using CniResult = std::expected<T, CniError>;

enum class Command { kAdd, kCheck, kDel, kGc, kStatus, kVersion };

// What the environment says.
struct Invocation {
  Command command = Command::kVersion;
  std::string container_id = {}, netns = {};
  std::string pod_name = {}, pod_namespace = {},
              pod_uid = {};  // of CNI_ARGS; the uid may be missing
};

// What stdin says.
struct Config {
  std::string version;
  std::string socket;                 // of weft-agent
  std::vector<std::string> excluded;  // namespaces that the agent is never asked about
  std::string result;                 // prevResult, to be printed as it is; empty: there is none
  std::vector<std::string> addresses;
  std::vector<std::string> valid;  // container ids that a GC leaves alone
};

// "" for a variable that is not there.
using Environment = std::function<std::string(const char*)>;
CniResult<Invocation> read_invocation(const Environment& environment);

// `version` is set as soon as it is known, for the answer to what is wrong otherwise.
CniResult<Config> read_config(Command command, std::string_view text, std::string& version);

std::string format_error(const CniError& error, std::string_view version);
// The answer to VERSION.
std::string format_versions(std::string_view version);

}  // namespace mesh::ebpf::cni
