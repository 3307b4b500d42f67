#pragma once
// `weft completion bash|zsh`: a script for the shell, made from the command line's own definition,
// so that it cannot fall behind.

#include <string>

namespace CLI {
class App;
}

namespace mesh::cli {

// `shell` is "bash" or "zsh".
std::string completion_script(const CLI::App& weft, const std::string& shell);

}  // namespace mesh::cli
