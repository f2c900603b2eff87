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
	"path"
	"runtime"
	"strings"
	"time"
)

// Image is a container image for this computer's architecture.
type Image struct {
	// Name with registry and tag, as pods write it or as it is completed:
	// "docker.io/library/busybox:test". Any tag but "latest" is not pulled.
	Name string
	// Files of the image; folders that lead to them are made.
	Files []File
	// Entrypoint, Command and Env are those of an image's configuration.
	Entrypoint, Command, Env []string
	// User is "UID:GID"; empty: root.
	User string
}

// File of an image: exactly one of Source, Content and Link is used.
type File struct {
	// Path in the image, absolute.
	Path string
	// Source is a file on this computer; its permissions are taken along.
	Source string
	// Content of a small file, readable by all users.
	Content []byte
	// Link makes it a symbolic link to this path.
	Link string
}

// Validate names the field that is wrong.
func (i Image) Validate() error {
	if _, tag, ok := strings.Cut(path.Base(i.Name), ":"); !ok || tag == "" || tag == "latest" {
		return fmt.Errorf("image: Image.Name is %q, must have a tag, and not latest, which is always pulled", i.Name)
	}
	for _, f := range i.Files {
		if !path.IsAbs(f.Path) || path.Clean(f.Path) != f.Path {
			return fmt.Errorf("image: File.Path is %q, must be absolute and clean", f.Path)
		}
	}
	return nil
}

// Write the image as a docker archive. The same image gives the same bytes.
func (i Image) Write(w io.Writer) error {
	if err := i.Validate(); err != nil {
		return err
	}
	var layer bytes.Buffer
	if err := i.writeLayer(&layer); err != nil {
		return err
	}
	diff := fmt.Sprintf("sha256:%x", sha256.Sum256(layer.Bytes()))
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config": map[string]any{
			"Entrypoint": i.Entrypoint,
			"Cmd":        i.Command,
			"Env":        append([]string{"PATH=/bin:/usr/bin"}, i.Env...),
			"User":       i.User,
		},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{diff}},
	})
	if err != nil {
		return fmt.Errorf("image: encode the configuration of %s: %w", i.Name, err)
	}
	configName := fmt.Sprintf("%x.json", sha256.Sum256(config))
	manifest, err := json.Marshal([]map[string]any{
		{"Config": configName, "RepoTags": []string{i.Name}, "Layers": []string{"layer.tar"}},
	})
	if err != nil {
		return fmt.Errorf("image: encode the manifest of %s: %w", i.Name, err)
	}
	archive := tar.NewWriter(w)
	for _, part := range []struct {
		name string
		text []byte
	}{{configName, config}, {"layer.tar", layer.Bytes()}, {"manifest.json", manifest}} {
		if err := add(archive, header(part.name, tar.TypeReg, 0o644), bytes.NewReader(part.text), int64(len(part.text))); err != nil {
			return err
		}
	}
	return archive.Close()
}

// Save the image as a file.
func (i Image) Save(name string) error {
	file, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("image: save %s: %w", i.Name, err)
	}
	return errors.Join(i.Write(file), file.Close())
}

func (i Image) writeLayer(w io.Writer) error {
	layer := tar.NewWriter(w)
	made := map[string]bool{"/": true}
	for _, f := range append([]File{{Path: "/tmp/"}}, i.Files...) {
		if err := addFolders(layer, made, path.Dir(f.Path)); err != nil {
			return err
		}
		if err := f.addTo(layer); err != nil {
			return err
		}
	}
	return layer.Close()
}

// addFolders that lead to a file, once. All users may write to /tmp.
func addFolders(layer *tar.Writer, made map[string]bool, folder string) error {
	if made[folder] {
		return nil
	}
	if err := addFolders(layer, made, path.Dir(folder)); err != nil {
		return err
	}
	made[folder] = true
	mode := int64(0o755)
	if folder == "/tmp" {
		mode = 0o1777
	}
	return add(layer, header(strings.TrimPrefix(folder, "/")+"/", tar.TypeDir, mode), nil, 0)
}

func (f File) addTo(layer *tar.Writer) error {
	name := strings.TrimPrefix(f.Path, "/")
	switch {
	case strings.HasSuffix(name, "/"): // a folder, made already
		return nil
	case f.Link != "":
		link := header(name, tar.TypeSymlink, 0o777)
		link.Linkname = f.Link
		return add(layer, link, nil, 0)
	case f.Source != "":
		file, err := os.Open(f.Source)
		if err != nil {
			return fmt.Errorf("image: read a file for it: %w", err)
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			return fmt.Errorf("image: read a file for it: %w", err)
		}
		return add(layer, header(name, tar.TypeReg, int64(info.Mode().Perm()|0o444)), file, info.Size())
	default:
		return add(layer, header(name, tar.TypeReg, 0o644), bytes.NewReader(f.Content), int64(len(f.Content)))
	}
}

func header(name string, kind byte, mode int64) *tar.Header {
	return &tar.Header{Name: name, Typeflag: kind, Mode: mode, ModTime: time.Unix(0, 0)}
}

func add(archive *tar.Writer, h *tar.Header, content io.Reader, size int64) error {
	h.Size = size
	err := archive.WriteHeader(h)
	if err == nil && content != nil {
		_, err = io.CopyN(archive, content, size)
	}
	if err != nil {
		return fmt.Errorf("image: write %s: %w", h.Name, err)
	}
	return nil
}
