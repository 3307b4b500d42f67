#include "cli/lab/agent_client.h"

#include <fcntl.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "cli/lab/packet_socket.h"

namespace mesh::cli::lab {
namespace {

using Json = nlohmann::json;
constexpr std::chrono::seconds kAnswerWithin{10};

Outcome<Json> call(const std::string& path, const Json& request, int fd = -1) {
  TRY(PacketSocket socket, PacketSocket::connect_to(path));
  TRY_DO(socket.send(request.dump(), fd));
  TRY(const std::string text, socket.receive(kAnswerWithin));
  const Json answer = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!answer.is_object()) return problem(path + ": an answer that is not JSON");
  if (answer.value("ok", false)) return answer;
  const auto error = answer.find("error");
  return problem(path + ": " +
                 (error != answer.end() && error->is_string()
                      ? error->get<std::string>()
                      : std::string("refused without a reason")));
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
  TRY(const Json answer, call(socket, {{"op", "list"}}));
  std::set<std::string> uids;
  if (const auto pods = answer.find("pods"); pods != answer.end() && pods->is_array()) {
    for (const Json& pod : *pods) {
      if (pod.is_object() && pod.contains("uid") && pod["uid"].is_string()) {
        uids.insert(pod["uid"].get<std::string>());
      }
    }
  }
  return uids;
}

}  // namespace mesh::cli::lab
