#include "cli/lab/agent_client.h"

#include <fcntl.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "cli/json.h"
#include "cli/lab/packet_socket.h"

namespace mesh::cli::lab {
namespace {

using Json = nlohmann::json;
constexpr std::chrono::seconds kAnswerWithin{10};

// The text of an answer that agrees.
Outcome<std::string> call(const std::string& path, const Json& request, int fd = -1) {
  TRY(PacketSocket socket, PacketSocket::connect_to(path));
  TRY_DO(socket.send(to_text(request), fd));
  TRY(const std::string text, socket.receive(kAnswerWithin));
  auto answer = agent_said(text);
  if (!answer) return problem(path + ": " + answer.error());
  return text;
}

}  // namespace

Outcome<Done> agent_add(const std::string& socket, const AgentPod& pod) {
  const int netns = ::open(pod.netns.c_str(), O_RDONLY | O_CLOEXEC);
  if (netns < 0) return problem_with_errno("open " + pod.netns);
  const auto answer = call(socket,
                           {{"op", "add"},
                            {"uid", pod.uid},
                            {"name", pod.name},
                            {"namespace", pod.ns},
                            {"serviceAccount", pod.service_account},
                            {"ips", pod.ips}},
                           netns);
  ::close(netns);
  TRY_DO(answer);
  return Done{};
}

Outcome<Done> agent_del(const std::string& socket, const std::string& uid) {
  TRY_DO(call(socket, {{"op", "del"}, {"uid", uid}}));
  return Done{};
}

Outcome<std::set<std::string>> agent_list(const std::string& socket) {
  TRY(const std::string answer, call(socket, {{"op", "list"}}));
  return listed_uids(answer);
}

Outcome<Done> agent_said(const std::string& text) {
  const Json answer = parse_json(text);
  if (!answer.is_object()) return problem("an answer that is not JSON");
  if (flag(answer, "ok")) return Done{};
  const Json& error = member(answer, "error");
  return problem(error.is_string() ? text_of(error) : "refused without a reason");
}

std::set<std::string> listed_uids(const std::string& text) {
  std::set<std::string> uids;
  const Json answer = parse_json(text);
  if (const Json& pods = member(answer, "pods"); pods.is_array()) {
    for (const Json& pod : pods) {
      if (const Json& uid = member(pod, "uid"); uid.is_string()) uids.insert(text_of(uid));
    }
  }
  return uids;
}

}  // namespace mesh::cli::lab
