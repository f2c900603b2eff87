package machine

import (
	"fmt"
	"os"
	"strings"
)

const (
	// tailBytes and tailLines bound what errors show of a log.
	tailBytes = 8 << 10
	tailLines = 15
)

// LogTail is the end of a log, for messages: with its path, and never an error.
func LogTail(path string) string {
	text, err := readEnd(path)
	if err != nil {
		return fmt.Sprintf("(no log: %v)", err)
	}
	if text == "" {
		return fmt.Sprintf("(%s is empty)", path)
	}
	lines := strings.Split(text, "\n")
	if len(lines) > tailLines {
		lines = lines[len(lines)-tailLines:]
	}
	return fmt.Sprintf("the end of %s:\n  %s", path, strings.Join(lines, "\n  "))
}

func readEnd(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	size := int64(0)
	if info, err := file.Stat(); err == nil {
		size = info.Size()
	}
	end := make([]byte, min(size, tailBytes))
	n, err := file.ReadAt(end, size-int64(len(end)))
	if n < len(end) {
		return "", err
	}
	return strings.TrimSpace(string(end)), nil
}
