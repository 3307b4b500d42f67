//go:build tools

// Package tools names the programs that `make kubernetes` builds from this module.
package tools

import (
	_ "fortio.org/fortio"
	_ "github.com/bojand/ghz/cmd/ghz"
	_ "github.com/summerwind/h2spec/cmd/h2spec"
	_ "github.com/yannh/kubeconform/cmd/kubeconform"
)
