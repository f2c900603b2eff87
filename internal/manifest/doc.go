// Package manifest reads Kubernetes manifests from YAML or JSON text: it splits documents and Lists into objects,
// identifies them, and decodes them strictly, with the line and the field of each error. Everything in Eastway that
// reads manifests from files reads them with this package, so that all of it agrees on what a file holds. It knows no
// kinds, opens no files, and never checks values.
package manifest
