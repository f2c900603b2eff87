package file

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkLoad is what reading 10,000 services again costs when one file of twenty changed.
func BenchmarkLoad(b *testing.B) {
	dir := b.TempDir()
	files := make([]strings.Builder, 20)
	for i := range 10_000 {
		name := fmt.Sprintf("s%d", i)
		text := strings.ReplaceAll(echoYAML, "echo", name)
		files[i%20].WriteString(strings.ReplaceAll(text, "127.1.0.1", fmt.Sprintf("127.1.%d.%d", i>>8, i&255)) + "---\n")
	}
	for i := range files {
		write(b, dir, fmt.Sprintf("f%d.yaml", i), files[i].String())
	}
	cfg := config(dir)
	s := newStore(&cfg)
	if _, _, err := s.load(); err != nil {
		b.Fatal(err)
	}
	n := 0
	for b.Loop() {
		n++
		write(b, dir, "f0.yaml", files[0].String()+fmt.Sprintf("# %d\n", n))
		local, errs, err := s.load()
		if err != nil || len(errs) > 0 || local.Services.Len() != 10_000 {
			b.Fatal(local.Services.Len(), err, errs)
		}
	}
}
