//go:build tools

// Package tools pins the commands that the lab builds; go.mod and go.sum lock what they are built from.
package tools

import (
	_ "github.com/restic/restic/cmd/restic"
)
