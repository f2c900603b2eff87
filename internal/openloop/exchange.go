package openloop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

const (
	// RequestID is the header with the ID by which executions are counted.
	RequestID = "X-Request-Id"
	// maxRequestID is ample for a UUID with a prefix, in bytes.
	maxRequestID = 64
	// maxBody bounds what is read of an answer, in bytes.
	maxBody = 64 << 10
	// maxReason is how much of an answer that is not 200 goes into the error, in bytes.
	maxReason = 512
)

// ValidID reports whether the ID is 1 to 64 of A-Z a-z 0-9 . _ -, so that it stays one word of a log.
func ValidID(id string) bool {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
	return id != "" && len(id) <= maxRequestID && strings.Trim(id, alphabet) == ""
}

// Exchange sends one request, once, and returns the whole answer; only a POST has the body. Every status but 200 is an error.
// Errors name neither method nor target: the caller knows them.
func Exchange(ctx context.Context, client *http.Client, method, target, id, body string) (string, error) {
	var payload io.Reader = http.NoBody
	if method == http.MethodPost {
		payload = strings.NewReader(body)
	}
	request, err := http.NewRequestWithContext(ctx, method, target, payload)
	if err != nil {
		return "", err
	}
	request.GetBody = nil // without it net/http cannot send the request again
	request.Header.Set(RequestID, id)
	response, err := client.Do(request)
	if err != nil {
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err
		}
		return "", err
	}
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	err = errors.Join(err, response.Body.Close())
	switch {
	case err != nil:
		return "", fmt.Errorf("the answer broke off: %w", err)
	case response.StatusCode != http.StatusOK:
		return "", fmt.Errorf("status %d: %s", response.StatusCode, strings.TrimSpace(string(answer[:min(len(answer), maxReason)])))
	}
	return string(answer), nil
}
