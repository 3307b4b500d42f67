// weft: the command line.

#include <CLI/CLI.hpp>

#include <cstdio>

#include "cli/lab/commands.h"

using namespace mesh::cli;

namespace {

// The exit code of the subcommand that ran.
struct Session {
  int code = 0;
  std::string lab;
  std::string output = "table";
  bool json() const { return output == "json"; }
};

void add_output(CLI::App& command, Session& session) {
  command.add_option("-o,--output", session.output, "table or json")
      ->check(CLI::IsMember({"table", "json"}));
}

void add_lab_choice(CLI::App& command, Session& session) {
  command.add_option("-l,--lab", session.lab, "which lab (default: $WEFT_LAB, or the only one)");
}

void add_up(CLI::App& labs, Session& session) {
  auto options = std::make_shared<lab::UpOptions>();
  auto foreground = std::make_shared<bool>(false);
  auto without_mesh = std::make_shared<bool>(false);
  CLI::App* command = labs.add_subcommand("up", "bring up a lab from a folder of manifests");
  command->add_option("folder", options->source, "the folder")->required();
  command->add_option("--name", options->name, "the lab's name (default: the folder's)");
  command->add_flag("--foreground", *foreground, "stay; Ctrl-C takes the lab down");
  command->add_flag("--without-mesh", *without_mesh, "nodes and pods only, to compare with");
  command->add_option("--certificate-lifetime", options->certificate_lifetime,
                      "of workload certificates, as 30s, 12h");
  command->add_option("--control-flag", options->control_flags, "passed on to weft-control")
      ->take_all();
  command->add_option("--agent-flag", options->agent_flags, "passed on to weft-agent")->take_all();
  command->add_option("--ztunnel-flag", options->ztunnel_flags, "passed on to weft-ztunnel")
      ->take_all();
  command->callback([=, &session] {
    options->mesh = !*without_mesh;
    session.code = lab::up(*options, *foreground);
  });
}

void add_inspection(CLI::App& labs, Session& session) {
  CLI::App* list = labs.add_subcommand("list", "the labs on this machine");
  add_output(*list, session);
  list->callback([&session] { session.code = lab::list(session.json()); });

  CLI::App* status = labs.add_subcommand("status", "programs and pods of a lab");
  add_lab_choice(*status, session);
  add_output(*status, session);
  status->callback([&session] { session.code = lab::status(session.lab, session.json()); });

  auto name = std::make_shared<std::string>();
  auto follow = std::make_shared<bool>(false);
  CLI::App* logs = labs.add_subcommand("logs", "the log of a pod or a program");
  add_lab_choice(*logs, session);
  logs->add_option("name", *name, "a pod, control, NODE/agent, NODE/ztunnel, or lab")->required();
  logs->add_flag("-f,--follow", *follow, "stay and show what comes");
  logs->callback([=, &session] { session.code = lab::logs(session.lab, *name, *follow); });

  auto where = std::make_shared<std::string>();
  CLI::App* exec = labs.add_subcommand("exec", "run a command inside a pod: exec POD -- COMMAND");
  add_lab_choice(*exec, session);
  exec->add_option("where", *where, "a pod, a node, or link")->required();
  exec->prefix_command();  // what follows belongs to the command, dashes too
  exec->footer("The exit code is the command's; 126 and 127 when it cannot be run.");
  exec->callback([=, &session] {
    std::vector<std::string> words = exec->remaining();
    if (!words.empty() && words[0] == "--") words.erase(words.begin());
    if (words.empty()) throw CLI::RequiredError("a command");
    session.code = lab::exec(session.lab, *where, words);
  });
}

void add_changes(CLI::App& labs, Session& session) {
  auto files = std::make_shared<std::vector<std::string>>();
  CLI::App* apply = labs.add_subcommand("apply", "add or replace the objects of manifest files");
  add_lab_choice(*apply, session);
  apply->add_option("files", *files, "manifests; - is standard input")->required();
  apply->callback([=, &session] { session.code = lab::apply(session.lab, *files); });

  auto what = std::make_shared<std::vector<std::string>>();
  auto file = std::make_shared<std::string>();
  CLI::App* remove = labs.add_subcommand("delete", "remove an object, or those a file names");
  add_lab_choice(*remove, session);
  remove->add_option("what", *what, "KIND [NAMESPACE/]NAME")->expected(0, 2);
  remove->add_option("-f,--file", *file, "a manifest");
  remove->callback([=, &session] { session.code = lab::remove(session.lab, *what, *file); });

  for (const char* op : {"stop", "start", "restart"}) {
    auto options = std::make_shared<lab::StopOptions>();
    CLI::App* command = labs.add_subcommand(op, std::string(op) + " a program of the mesh");
    add_lab_choice(*command, session);
    command->add_option("program", options->program, "control, ztunnel, NODE/ztunnel, NODE/agent")
        ->required();
    command->add_flag("--kill", options->kill, "by SIGKILL instead of SIGTERM");
    command->callback([=, &session] {
      options->lab = session.lab;
      session.code = lab::program(op, *options);
    });
  }

  auto all = std::make_shared<bool>(false);
  CLI::App* down = labs.add_subcommand("down", "take a lab down; nothing of it stays");
  down->add_option("lab,-l,--lab", session.lab, "which lab");
  down->add_flag("--all", *all, "every lab on this machine");
  down->callback([=, &session] { session.code = lab::down(session.lab, *all); });
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App weft("weft: the command line of the Weft service mesh", "weft");
  weft.set_version_flag("--version", "weft " WEFT_VERSION);
  weft.require_subcommand(1);
  Session session;
  CLI::App* labs = weft.add_subcommand("lab", "a mesh on this machine, from a folder of manifests");
  labs->require_subcommand(1);
  add_up(*labs, session);
  add_inspection(*labs, session);
  add_changes(*labs, session);
  try {
    weft.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = weft.exit(error);
    return code == 0 ? 0 : 2;
  }
  return session.code;
}
