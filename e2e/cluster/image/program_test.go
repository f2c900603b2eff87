package image

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/eastway/eastway/internal/need"
)

func TestProgramHasWhatItNeeds(t *testing.T) {
	t.Parallel()
	need.Program(t, "ldd", "libc-bin")
	program := need.Program(t, "tar", "tar")
	files, err := Program(t.Context(), program)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{program, "/libc.so", "/ld-linux"} {
		if !slices.ContainsFunc(files, func(f File) bool { return strings.Contains(f.Path, part) }) {
			t.Errorf("%+v lacks %s", files, part)
		}
	}
	if err := (Image{Name: "a:1", Files: files}).Validate(); err != nil {
		t.Error(err)
	}
	text := t.TempDir() + "/text"
	if err := os.WriteFile(text, []byte("no program"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Program(t.Context(), text); err == nil {
		t.Error("a text was taken for a program")
	}
}

func TestParseLibraries(t *testing.T) {
	t.Parallel()
	const listed = "\tlinux-vdso.so.1 (0x00007fb5886d7000)\n" +
		"\tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007fb5883d4000)\n" +
		"\tlibodd.so => /usr/lib/odd/../libodd.so (0x00007fb5883d4000)\n" +
		"\t/lib64/ld-linux-x86-64.so.2 (0x00007fb5886d9000)\n"
	want := []string{"/lib/x86_64-linux-gnu/libz.so.1", "/usr/lib/libodd.so", "/lib64/ld-linux-x86-64.so.2"}
	if got, err := parseLibraries(listed); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	for name, listed := range map[string]string{
		"one is not there": listed + "\tliblost.so.1 => not found\n",
		"static":           "\tstatically linked\n",
		"nothing":          "",
	} {
		if got, err := parseLibraries(listed); err == nil {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
