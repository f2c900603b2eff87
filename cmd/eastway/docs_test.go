package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// documentedCommands are the command lines of eastway in a document: in its shell blocks, and quoted in its text.
func documentedCommands(text string) []string {
	var commands []string
	for _, m := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(text, -1) {
		block := strings.ReplaceAll(m[1], "\\\n", " ")
		for _, m := range regexp.MustCompile(`(?m)^\s*(?:until )?(?:bin/)?eastway ([^#|&<>\n]+)`).FindAllStringSubmatch(block, -1) {
			commands = append(commands, m[1])
		}
	}
	for _, m := range regexp.MustCompile("`(?:bin/)?eastway ([^`|]+)`").FindAllStringSubmatch(text, -1) {
		commands = append(commands, m[1])
	}
	return commands
}

// Commands that documents name exist, and so do their flags.
func TestDocumentedCommandsExist(t *testing.T) {
	t.Parallel()
	paths := []string{"../../README.md", "../../ARCHITECTURE.md", "../../SECURITY.md", "../../CHANGELOG.md", "../../charts/eastway/README.md"}
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, path := range append(paths, pages...) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range documentedCommands(string(text)) {
			found++
			words := strings.Fields(strings.NewReplacer("[", "", "]", "", ",", " ").Replace(line))
			cmd, rest, err := newRoot(io.Discard, io.Discard).Find(words)
			misspelled := cmd.HasSubCommands() && len(rest) > 0 && !strings.HasPrefix(rest[0], "-")
			if err != nil || misspelled {
				t.Errorf("%s: eastway %s: no such command (%v)", path, line, err)
				continue
			}
			cmd.InitDefaultHelpFlag()
			for _, word := range words {
				name, isFlag := strings.CutPrefix(word, "--")
				name, _, _ = strings.Cut(name, "=")
				if isFlag && cmd.Flags().Lookup(name) == nil && cmd.InheritedFlags().Lookup(name) == nil {
					t.Errorf("%s: eastway %s: no flag --%s", path, line, name)
				}
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d commands were found", found)
	}
}
