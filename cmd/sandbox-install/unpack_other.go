//go:build !linux

package main

import "github.com/spf13/cobra"

// unpackCommands are the commands that change or read a root of packages. A
// transaction needs renameat2(2) and openat2(2).
func unpackCommands(*stdio) []*cobra.Command { return nil }
