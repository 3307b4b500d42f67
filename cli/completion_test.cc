#include "cli/completion.h"

#include <CLI/CLI.hpp>

#include <catch2/catch_test_macros.hpp>

namespace mesh::cli {

TEST_CASE("completion offers what the command line defines, and hides what it hides") {
  CLI::App weft("weft", "weft");
  CLI::App* lab = weft.add_subcommand("lab", "");
  CLI::App* up = lab->add_subcommand("up", "");
  std::string name;
  up->add_option("--name", name);
  lab->add_subcommand("names", "")->group("");
  const std::string script = completion_script(weft, "bash");
  CHECK(script.find("\"lab\") words=\"up --help -h \"") != std::string::npos);
  CHECK(script.find("\"lab up\") words=\"--help -h --name \"") != std::string::npos);
  CHECK(completion_script(weft, "zsh").starts_with("#compdef weft\n"));
}

}  // namespace mesh::cli
