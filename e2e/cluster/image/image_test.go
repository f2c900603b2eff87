package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// unpack an archive: files by name, folders with a slash, links with "-> target".
func unpack(t *testing.T, archive []byte) map[string]string {
	t.Helper()
	files := make(map[string]string)
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := files[h.Name]; twice {
			t.Errorf("%s is there twice", h.Name)
		}
		files[h.Name] = string(content)
		switch h.Typeflag {
		case tar.TypeSymlink:
			files[h.Name] = "-> " + h.Linkname
		case tar.TypeReg:
			files[h.Name] += fmt.Sprintf(" %o", h.Mode)
		default:
			files[h.Name] = fmt.Sprintf("%o", h.Mode)
		}
	}
}

func TestImage(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("#!"), 0o700); err != nil {
		t.Fatal(err)
	}
	i := Image{
		Name: "docker.io/test/image:v1", Entrypoint: []string{"/usr/bin/program"}, User: "1:2",
		Files: []File{
			{Path: "/usr/bin/program", Source: program},
			{Path: "/usr/bin/also", Link: "program"},
			{Path: "/etc/text", Content: []byte("hello")},
		},
	}
	var archive, again bytes.Buffer
	if err := errors.Join(i.Write(&archive), i.Write(&again)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(archive.Bytes(), again.Bytes()) {
		t.Error("the same image has other bytes")
	}
	files := unpack(t, archive.Bytes())
	var manifest []struct {
		Config           string
		RepoTags, Layers []string
	}
	if err := json.Unmarshal([]byte(strings.TrimSuffix(files["manifest.json"], " 644")), &manifest); err != nil || len(manifest) != 1 {
		t.Fatalf("manifest %q: %v", files["manifest.json"], err)
	}
	if m := manifest[0]; m.RepoTags[0] != i.Name || len(m.Layers) != 1 {
		t.Errorf("manifest %+v", m)
	}
	config := strings.TrimSuffix(files[manifest[0].Config], " 644")
	layer := strings.TrimSuffix(files[manifest[0].Layers[0]], " 644")
	if digest := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(layer))); !strings.Contains(config, digest) {
		t.Errorf("configuration %s without %s", config, digest)
	}
	if !strings.Contains(config, `"User":"1:2"`) {
		t.Errorf("configuration %s without the user", config)
	}
	want := map[string]string{
		"tmp/": "1777", "usr/": "755", "usr/bin/": "755", "etc/": "755",
		"usr/bin/program": "#! 744", "usr/bin/also": "-> program", "etc/text": "hello 644",
	}
	got := unpack(t, []byte(layer))
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("layer %v, want %v", got, want)
	}
}

func TestImageValidate(t *testing.T) {
	t.Parallel()
	for _, i := range []Image{
		{Name: "docker.io/test/image"},
		{Name: "docker.io/test/image:latest"},
		{Name: "localhost:5000/image"},
		{Name: "a:1", Files: []File{{Path: "relative"}}},
		{Name: "a:1", Files: []File{{Path: "/a/../b"}}},
	} {
		if err := i.Write(io.Discard); err == nil {
			t.Errorf("%+v is taken", i)
		}
	}
	if err := (Image{Name: "a:1", Files: []File{{Path: "/x", Source: "/does/not/exist"}}}).Write(io.Discard); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}
