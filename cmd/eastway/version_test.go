package main

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/eastway/eastway/internal/terminal"
	"github.com/eastway/eastway/internal/version"
)

func TestPrintVersion(t *testing.T) {
	t.Parallel()
	info := version.Info{
		Version: "v0.1.0", Commit: "0123abcd", Go: "go1.26.8", Platform: "linux/amd64", Protocol: "eastway/1",
	}
	for output, file := range map[terminal.Format]string{terminal.AsTable: "version.txt", terminal.AsJSON: "version.json"} {
		var b bytes.Buffer
		if err := printVersion(&b, output, info); err != nil {
			t.Fatal(err)
		}
		golden(t, file, b.Bytes())
	}
}

func TestVersionCommand(t *testing.T) {
	t.Parallel()
	got := runCommand(t, "version", "-o", "json")
	var info version.Info
	if err := json.Unmarshal([]byte(got.stdout), &info); err != nil || got.code != 0 {
		t.Fatalf("%+v: %v", got, err)
	}
	if info != version.Get() {
		t.Errorf("printed %+v, want %+v", info, version.Get())
	}
}
