// What a container runtime is answered, whatever it says and whoever does not answer.

#include "ebpf/cni/plugin.h"

#include <catch2/catch_test_macros.hpp>
#include <map>

namespace mesh::ebpf::cni {
namespace {

constexpr std::string_view kConfig =
    R"({"cniVersion":"1.0.0","name":"lab","type":"weft-cni","agentSocket":"/run/weft/agent.sock",)"
    R"("excludeNamespaces":["kube-system"],"prevResult":{"cniVersion":"1.0.0","interfaces":)"
    R"([{"name":"eth0"}],"ips":[{"address":"10.244.1.7/24"},{"address":"fd00::7/64"}],"x":[1.5]}})";

using Variables = std::map<std::string, std::string>;

Variables variables(const std::string& command) {
  return {{"CNI_COMMAND", command},
          {"CNI_CONTAINERID", "c1"},
          {"CNI_NETNS", "/run/netns/web"},
          {"CNI_IFNAME", "eth0"},
          {"CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;K8S_POD_UID=u1"}};
}

// A run of the plugin beside an agent that answers `says`; empty: there is none.
struct Run {
  Run(const Variables& environment, std::string_view input, const std::string& says) {
    const auto ask = [&](const std::string& socket, const std::string& request,
                         const std::string& netns) -> std::expected<std::string, std::string> {
      asked = socket + " " + netns + " " + request;
      if (says.empty()) return std::unexpected("Connection refused");
      return says;
    };
    const auto read = [&](const char* name) {
      const auto found = environment.find(name);
      return found == environment.end() ? std::string() : found->second;
    };
    answer = run_plugin(read, input, ask);
  }
  bool says(std::string_view part) const { return answer.text.find(part) != std::string::npos; }

  std::string asked;
  Answer answer;
};

TEST_CASE("cni: ADD asks the agent, and passes the result through as it is") {
  const Run run(variables("ADD"), kConfig, R"({"ok":true,"enrolled":true})");
  CHECK(
      run.asked ==
      R"(/run/weft/agent.sock /run/netns/web {"containerId":"c1","ips":["10.244.1.7","fd00::7"],)"
      R"("name":"web","namespace":"shop","netnsPath":"/run/netns/web","op":"cni-add","uid":"u1"})");
  CHECK(run.answer.status == 0);
  CHECK(
      run.answer.text ==
      R"({"cniVersion":"1.0.0","interfaces":[{"name":"eth0"}],"ips":[{"address":"10.244.1.7/24"},)"
      R"({"address":"fd00::7/64"}],"x":[1.5]})"
      "\n");
}

TEST_CASE("cni: without an agent ADD and CHECK fail, DEL, GC and STATUS do not") {
  for (const char* command : {"ADD", "CHECK"}) {
    const Run run(variables(command), kConfig, "");
    CHECK(run.answer.status == 1);
    CHECK(run.says(R"("code":11)"));
    CHECK(run.says("weft-agent does not answer, so whether pod shop/web belongs into the mesh"));
    CHECK(run.says("Connection refused"));
  }
  const std::string gc = R"({"cniVersion":"1.1.0","agentSocket":"/s","cni.dev/valid-attachments":)"
                         R"([{"containerID":"c1","ifname":"eth0"}]})";
  for (const char* command : {"DEL", "GC", "STATUS"}) {
    const Run run(variables(command), command == std::string("GC") ? gc : kConfig, "");
    CHECK(run.answer.status == 0);
    CHECK(run.answer.text.empty());
  }
  CHECK(Run(variables("GC"), gc, "{}").asked == R"(/s  {"containerIds":["c1"],"op":"cni-gc"})");
}

TEST_CASE("cni: excluded namespaces do without an agent, and it is not asked") {
  auto excluded = variables("ADD");
  excluded["CNI_ARGS"] = "K8S_POD_NAMESPACE=kube-system;K8S_POD_NAME=dns";
  const Run run(excluded, kConfig, "");
  CHECK(run.answer.status == 0);
  CHECK(run.says("10.244.1.7/24"));
  CHECK(run.asked.empty());
}

TEST_CASE("cni: what the agent refuses fails, and says when to try again") {
  const Run later(variables("ADD"), kConfig, R"({"ok":false,"error":"no ztunnel","retry":true})");
  CHECK(later.says(R"("code":11)"));
  CHECK(later.says("weft: no ztunnel"));
  const Run never(variables("ADD"), kConfig, R"({"ok":false,"error":"no room"})");
  CHECK(never.says(R"("code":100)"));
  for (const char* strange : {"", "{", "[]", "{}", R"({"ok":"yes"})", R"({"ok":1})", "null"})
    CHECK(Run(variables("ADD"), kConfig, std::string(strange) + " ").answer.status == 1);
}

TEST_CASE("cni: VERSION answers in the version that it is asked in") {
  CHECK(Run(variables("VERSION"), R"({"cniVersion":"1.0.0"})", "").answer.text ==
        R"({"cniVersion":"1.0.0","supportedVersions":["0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]})"
        "\n");
  CHECK(Run(variables("VERSION"), "", "").says(R"("cniVersion":"1.1.0")"));
}

TEST_CASE("cni: an environment that says too little is refused") {
  const struct {
    const char* variable;
    const char* value;
    const char* reason;
  } rows[] = {
      {"CNI_COMMAND", "", "none of ADD"},
      {"CNI_COMMAND", "add", "none of ADD"},
      {"CNI_CONTAINERID", "", "CNI_CONTAINERID is missing"},
      {"CNI_CONTAINERID", "../x", "CNI_CONTAINERID is missing, or no id"},
      {"CNI_IFNAME", "", "CNI_IFNAME is missing"},
      {"CNI_NETNS", "", "CNI_NETNS is missing"},
      {"CNI_NETNS", "netns", "no absolute path"},
      {"CNI_ARGS", "", "weft-cni is for the pods of a kubelet"},
      {"CNI_ARGS", "K8S_POD_NAME=web", "K8S_POD_NAMESPACE are missing"},
      {"CNI_ARGS", "K8S_POD_NAME=w b;K8S_POD_NAMESPACE=x", "K8S_POD_NAME in CNI_ARGS is no name"},
  };
  for (const auto& row : rows) {
    auto environment = variables("ADD");
    environment[row.variable] = row.value;
    const Run run(environment, kConfig, R"({"ok":true})");
    INFO(row.variable << "=" << row.value << ": " << run.answer.text);
    CHECK(run.answer.status == 1);
    CHECK(run.says(R"("code":4)"));
    CHECK(run.says(row.reason));
  }
  auto long_arguments = variables("ADD");
  long_arguments["CNI_ARGS"] = std::string(kArgumentsBytesMax + 1, ';');
  CHECK(Run(long_arguments, kConfig, "").says("over 16 KiB"));
}

TEST_CASE("cni: a configuration that is none is refused, with the code for it") {
  const struct {
    std::string input;
    const char* code;
    const char* reason;
  } rows[] = {
      {"", "6", "no JSON object"},
      {std::string(5000, '['), "6", "no JSON object"},
      {std::string(kConfigBytesMax + 1, ' '), "6", "over 1 MiB"},
      {R"({"cniVersion":"9.9.9"})", "1", "cniVersion"},
      {R"({"name":"x"})", "1", "cniVersion"},
      {R"({"cniVersion":"1.0.0"})", "7", "agentSocket"},
      {R"({"cniVersion":"1.0.0","agentSocket":"x"})", "7", "agentSocket"},
      {R"({"cniVersion":"1.0.0","agentSocket":"/s"})", "7", "prevResult is missing"},
      {R"({"cniVersion":"1.0.0","agentSocket":"/s","prevResult":{"ips":[]}})", "7", "no addresses"},
      {R"({"cniVersion":"1.0.0","agentSocket":"/s","prevResult":{"ips":[{"address":"x/8"}]}})", "7",
       "no address"},
      {R"({"cniVersion":"1.0.0","agentSocket":"/s","excludeNamespaces":[1]})", "7", "no name"},
  };
  for (const auto& row : rows) {
    const Run run(variables("ADD"), row.input, R"({"ok":true})");
    INFO(row.input.substr(0, 80) << ": " << run.answer.text);
    CHECK(run.answer.status == 1);
    CHECK(run.says(R"("code":)" + std::string(row.code)));
    CHECK(run.says(row.reason));
    CHECK(run.asked.empty());
  }
}

}  // namespace
}  // namespace mesh::ebpf::cni
