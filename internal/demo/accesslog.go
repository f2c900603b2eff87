package demo

import (
	"bufio"
	"fmt"
	"os"
	"regexp"
	"strings"
)

const (
	// maxQuoted is how many lines of the access logs are quoted per failure.
	maxQuoted = 4
	// maxAccessLine is longer than any line that a proxy writes, in bytes.
	maxAccessLine = 1 << 20
)

// fromPattern finds the connections that an application's error names.
var fromPattern = regexp.MustCompile(`from (127(?:\.\d{1,3}){3}:\d{1,5})`)

// quoteAccessLogs adds to each failure the lines that the proxies wrote about its
// connections; the source address names a connection in both.
func quoteAccessLogs(l layout, t topology, failures []Failure) error {
	wanted := make(map[string][]*Failure)
	for i := range failures {
		for _, m := range fromPattern.FindAllStringSubmatch(failures[i].Error, -1) {
			wanted[m[1]] = append(wanted[m[1]], &failures[i])
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	for _, z := range t.zones() {
		if err := scanAccessLog(l.access(z), z.name, wanted); err != nil {
			return err
		}
	}
	return nil
}

func scanAccessLog(path, zone string, wanted map[string][]*Failure) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read the access log of %s: %w", zone, err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxAccessLine)
	for lines.Scan() {
		line := lines.Text()
		for addr, failures := range wanted {
			// The quote ends the port: 127.80.1.11:4000 is not 127.80.1.11:40001.
			if !strings.Contains(line, addr+`"`) {
				continue
			}
			for _, failure := range failures {
				if len(failure.AccessLog) < maxQuoted {
					failure.AccessLog = append(failure.AccessLog, zone+": "+line)
				}
			}
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read the access log of %s: %w", zone, err)
	}
	return nil
}
