#!/usr/bin/env python3
"""Writes the charts as C++: embed.py CHARTS OUTPUT DEPFILE."""
import json
import pathlib
import sys

charts, output, depfile = (pathlib.Path(word) for word in sys.argv[1:])
files = sorted(path for path in charts.rglob("*") if path.is_file() and path.parent != charts)
lines = ['#include "cli/template/chart.h"', "", "namespace mesh::cli {",
         "const ChartFiles& embedded_chart(std::string_view name) {",
         "  static const std::map<std::string, ChartFiles, std::less<>> kCharts = {"]
for chart in sorted({path.relative_to(charts).parts[0] for path in files}):
    lines.append(f'    {{"{chart}", {{')
    for path in files:
        name = path.relative_to(charts)
        if name.parts[0] == chart:
            text = path.read_text("utf-8").splitlines(keepends=True)
            lines.append(f"      {{{json.dumps('/'.join(name.parts[1:]))},")
            lines += [f"       {json.dumps(line)}" for line in text or [""]]
            lines.append("      },")
    lines.append("    }},")
lines += ["  };", "  static const ChartFiles kNone;", "  const auto found = kCharts.find(name);",
          "  return found == kCharts.end() ? kNone : found->second;", "}", "}  // namespace mesh::cli", ""]
output.write_text("\n".join(lines))
folders = [path for path in charts.rglob("*") if path.is_dir()]
depfile.write_text(f"{output}: {' '.join(map(str, files + folders))}\n")
