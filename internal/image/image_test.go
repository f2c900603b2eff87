package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// options name binaries that are written now, so that their dates differ from call to call.
func options(t *testing.T) Options {
	t.Helper()
	dir := t.TempDir()
	o := Options{
		Version: "v1.2.3-4-gabcdef0", Revision: "abcdef0123", Created: time.Unix(1_700_000_000, 987),
		Binaries: make(map[string]string),
	}
	for _, arch := range []string{"amd64", "arm64"} {
		path := filepath.Join(dir, arch)
		if err := os.WriteFile(path, []byte("binary for "+arch), 0o600); err != nil {
			t.Fatal(err)
		}
		o.Binaries[arch] = path
	}
	return o
}

// contents are the files of an image: mode, owner, and what is in them.
func contents(t *testing.T, img v1.Image) map[string]string {
	t.Helper()
	r := mutate.Extract(img)
	defer r.Close()
	found := make(map[string]string)
	for archive := tar.NewReader(r); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		if header.ModTime.Unix() != 1_700_000_000 {
			t.Errorf("%s is of %v, want the date of the commit", header.Name, header.ModTime)
		}
		found[header.Name] = fmt.Sprintf("%#o %d:%d %s", header.Mode, header.Uid, header.Gid, data)
	}
}

// checkImage looks at everything that Kubernetes and containerd look at.
func checkImage(t *testing.T, img v1.Image, arch string) {
	t.Helper()
	if err := validate.Image(img); err != nil {
		t.Errorf("%s: %v", arch, err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c := config.Config
	if config.OS != "linux" || config.Architecture != arch || c.User != "65532:65532" || !slices.Equal(c.Entrypoint, []string{"/eastway"}) ||
		len(c.Cmd) > 0 || config.Created.Unix() != 1_700_000_000 {
		t.Errorf("%s: config %+v", arch, config)
	}
	for label, want := range map[string]string{
		"org.opencontainers.image.version":  "v1.2.3-4-gabcdef0",
		"org.opencontainers.image.revision": "abcdef0123",
		"org.opencontainers.image.created":  "2023-11-14T22:13:20Z",
	} {
		if c.Labels[label] != want {
			t.Errorf("%s: label %s is %q, want %q", arch, label, c.Labels[label], want)
		}
	}
	want := map[string]string{
		"eastway":         "0755 0:0 binary for " + arch,
		"etc":             "0755 0:0 ",
		"etc/group":       "0644 0:0 root:x:0:\neastway:x:65532:\n",
		"etc/passwd":      "0644 0:0 root:x:0:0:root:/:/sbin/nologin\neastway:x:65532:65532:eastway:/var/lib/eastway:/sbin/nologin\n",
		"var":             "0755 0:0 ",
		"var/lib":         "0755 0:0 ",
		"var/lib/eastway": "0700 65532:65532 ",
	}
	if got := contents(t, img); !maps.Equal(got, want) {
		t.Errorf("%s has the files\n%q\nwant\n%q", arch, got, want)
	}
}

func TestWriteIsReadBack(t *testing.T) {
	t.Parallel()
	o, dir := options(t), filepath.Join(t.TempDir(), "out")
	digest, err := Write(o, dir)
	if err != nil {
		t.Fatal(err)
	}
	for arch := range o.Binaries {
		tag, err := o.tag()
		if err != nil {
			t.Fatal(err)
		}
		img, err := tarball.ImageFromPath(ArchivePath(dir, arch), &tag) // by its name: containerd imports under it
		if err != nil {
			t.Fatal(err)
		}
		checkImage(t, img, arch)
	}

	top, err := layout.ImageIndexFromPath(LayoutPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(top); err != nil {
		t.Error(err)
	}
	list, err := top.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Manifests) != 1 || list.Manifests[0].Digest != digest || list.Manifests[0].Annotations[refName] != o.Version {
		t.Fatalf("the layout lists %+v, want one index %s tagged %s", list.Manifests, digest, o.Version)
	}
	idx, err := top.ImageIndex(digest)
	if err != nil {
		t.Fatal(err)
	}
	if list, err = idx.IndexManifest(); err != nil {
		t.Fatal(err)
	}
	var architectures []string
	for _, m := range list.Manifests {
		architectures = append(architectures, m.Platform.String())
		img, err := idx.Image(m.Digest)
		if err != nil {
			t.Fatal(err)
		}
		checkImage(t, img, m.Platform.Architecture)
	}
	if !slices.Equal(architectures, []string{"linux/amd64", "linux/arm64"}) {
		t.Errorf("the index lists %q", architectures)
	}
}

func TestSameInputSameBytes(t *testing.T) {
	t.Parallel()
	write := func(o Options, dir string) (digest string, archive []byte) {
		h, err := Write(o, dir)
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(ArchivePath(dir, "amd64"))
		if err != nil {
			t.Fatal(err)
		}
		return h.String(), data
	}
	dir := t.TempDir()
	digest, archive := write(options(t), dir)
	again, archiveAgain := write(options(t), t.TempDir())
	if digest != again || !bytes.Equal(archive, archiveAgain) {
		t.Errorf("two builds of the same differ: %s and %s", digest, again)
	}

	changed := options(t)
	if err := os.WriteFile(changed.Binaries["arm64"], []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	if other, _ := write(changed, dir); other == digest { // over the first build
		t.Error("another binary gives the same digest")
	}
	blobs, err := filepath.Glob(filepath.Join(LayoutPath(dir), "blobs", "sha256", "*"))
	if err != nil || len(blobs) != 7 { // 2 × (manifest, config, layer), 1 index
		t.Errorf("the layout has %d blobs, %v; want 7, none of the build before", len(blobs), err)
	}
}

func TestValidateNamesTheField(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(*Options)
		want   string
	}{
		"no version":      {func(o *Options) { o.Version = "" }, "Version"},
		"no tag":          {func(o *Options) { o.Version = "v1+dirty" }, `Version "v1+dirty"`},
		"no date":         {func(o *Options) { o.Created = time.Time{} }, "Created"},
		"no binaries":     {func(o *Options) { o.Binaries = nil }, "Binaries"},
		"no architecture": {func(o *Options) { o.Binaries = map[string]string{"linux/amd64": "x"} }, `"linux/amd64"`},
		"no file":         {func(o *Options) { o.Binaries["amd64"] = "/nowhere" }, "Binaries[amd64]"},
		"a directory":     {func(o *Options) { o.Binaries["arm64"] = "/" }, "Binaries[arm64]"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options(t)
			test.change(&o)
			_, err := Write(o, t.TempDir())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}
