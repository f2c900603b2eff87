package drills

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The lines above the commands of documents that the drills run.
const (
	firstCallCommands = "\nFive commands lead to the first call"
	callByName        = "\nApplications call it by its name"
	removeCommands    = "# Removing it\n"
)

// shellBlock is the first block of commands below a line of a document.
func shellBlock(t *testing.T, document, line string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(document)))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), line)
	_, rest, begun := strings.Cut(rest, "\n```sh\n")
	block, _, ended := strings.Cut(rest, "\n```\n")
	if !found || !begun || !ended {
		t.Fatalf("%s has no block of commands below %q", document, line)
	}
	return strings.Split(block, "\n")
}

// The drills take minutes and need root; that a document has lost its commands shows at once.
func TestDocumentsHaveCommands(t *testing.T) {
	t.Parallel()
	for line, document := range map[string]string{
		firstCallCommands: "README.md", callByName: "README.md", removeCommands: "docs/remove.md",
	} {
		if len(shellBlock(t, document, line)) == 0 {
			t.Errorf("%s: no command below %q", document, line)
		}
	}
}
