#pragma once
// The recorded conversations, as lines.

#include <chrono>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "mesh/base/check.h"

namespace mesh::golden {

struct Line {
  std::chrono::milliseconds at{};
  char who = '<';          // '<' the peer, '>' we, '!' the application
  std::string connection;  // "c1", or ""
  std::vector<std::string> words;

  const std::string& verb() const { return words.front(); }
  int stream() const { return words.size() > 1 ? std::atoi(words[1].c_str()) : 0; }
  std::size_t number(std::size_t word) const { return std::stoul(words.at(word)); }
};

struct Case {
  std::string name;
  std::vector<Line> lines;  // ours where it differs from the record
  std::string saw;          // "4 eof", or ""
};

inline std::vector<std::string> words_of(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

inline std::vector<Case> read_cases(const std::string& path) {
  std::ifstream file(path);
  MESH_CHECK(file.good());
  std::vector<Case> cases;
  for (std::string text; std::getline(file, text);) {
    std::vector<std::string> words = words_of(text);
    if (words.empty() || words[0] == "#" || text.starts_with('#') || words[0] == "-") continue;
    if (words[0] == "+") words.erase(words.begin());
    if (words[0] == "case") {
      cases.push_back({.name = words.at(1), .lines = {}, .saw = {}});
    } else if (words[0] == "saw") {
      cases.back().saw = words.at(1) + " " + words.at(2);
    } else {
      Line line;
      line.at = std::chrono::milliseconds(std::stol(words[0]));
      line.who = words.at(1)[0];
      words.erase(words.begin(), words.begin() + 2);
      if (words.at(0).size() == 2 && words[0][0] == 'c' && words[0] != "co") {
        line.connection = words[0];
        words.erase(words.begin());
      }
      line.words = std::move(words);
      cases.back().lines.push_back(std::move(line));
    }
  }
  return cases;
}

// %25 and the like; "*N" is N bytes.
inline std::string unescaped(std::string_view text) {
  if (text == "%00") return {};
  if (text.starts_with('*')) return std::string(std::stoul(std::string(text.substr(1))), 'x');
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      out.push_back(static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16)));
      i += 2;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

}  // namespace mesh::golden
