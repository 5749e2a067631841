package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/containerd/errdefs"
)

// Error is what went wrong with a registry, as one sentence without credentials.
type Error struct {
	Op     string        // "pulling", "pushing", …
	Object string        // the reference, repository or registry
	Host   string        // that answered, or should have
	Status int           // of HTTP, 0 if there was no answer
	Code   string        // the registry's own ("MANIFEST_UNKNOWN"), may be ""
	text   string        // the cause, a clause
	class  error         // of errdefs, or a context's error
	cause  error         // what lies below, for retries; nil when it is of another class
	final  bool          // trying again gives the same
	after  time.Duration // that the host asks to wait, 0 if it does not
}

func (e *Error) Error() string {
	s := e.text
	if e.Host != "" {
		s = e.Host + " " + s
	}
	if e.Op == "" {
		return s
	}
	return e.Op + " " + e.Object + ": " + s
}

// Unwrap gives the class, so that errdefs.IsNotFound and errors.Is(err, context.Canceled) tell.
func (e *Error) Unwrap() []error {
	if e.cause != nil && e.cause != e.class {
		return []error{e.class, e.cause}
	}
	return []error{e.class}
}

// refuse is the error of something that a host did and that is not accepted from it.
func (e *endpoint) refuse(class error, format string, args ...any) *Error {
	return &Error{Host: e.host.name(), text: e.auth.redact(fmt.Sprintf(format, args...)), class: class, final: true}
}

// about completes an error with what was being done.
func about(op, object string, err error) error {
	if err == nil {
		return nil
	}
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{text: oneLine(err.Error(), 400), class: classOf(err), cause: err}
	} else if e.Op != "" {
		return err
	}
	full := *e
	full.Op, full.Object = op, object
	return &full
}

// classOf is the class of an error from below (a source's, a context's).
func classOf(err error) error {
	for _, class := range []error{context.Canceled, context.DeadlineExceeded, errdefs.ErrNotFound, errdefs.ErrInvalidArgument, errdefs.ErrUnavailable,
		errdefs.ErrDataLoss, errdefs.ErrFailedPrecondition, errdefs.ErrPermissionDenied, errdefs.ErrUnauthenticated} {
		if errors.Is(err, class) {
			return class
		}
	}
	return errdefs.ErrUnknown
}

// broken is the error of a request that got no answer, or of a stream that ended early.
func (e *endpoint) broken(ctx context.Context, err error) *Error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause // our own time limit, or the caller's end
	}
	out := &Error{Host: e.host.name(), class: errdefs.ErrUnavailable, cause: err}
	var stall stallError
	var already *Error
	var dns *net.DNSError
	var dial *net.OpError
	var record tls.RecordHeaderError
	var cert *tls.CertificateVerificationError
	var alert tls.AlertError
	var host x509.HostnameError
	switch {
	case errors.As(err, &already):
		return already
	case errors.Is(err, context.Canceled):
		return &Error{text: "canceled", class: context.Canceled, cause: err, final: true}
	case errors.As(err, &stall):
		out.text = string(stall)
	case errors.Is(err, context.DeadlineExceeded):
		out.text, out.class = "did not answer in time", context.DeadlineExceeded
		out.final = ctx.Err() != nil
	case errors.As(err, &cert), errors.As(err, &host):
		out.text, out.final, out.class = "has a certificate that is not accepted: "+oneLine(strings.TrimPrefix(err.Error(), "tls: failed to verify certificate: "), 200), true, errdefs.ErrFailedPrecondition
	case errors.As(err, &record):
		out.text, out.final, out.class = "does not speak TLS, and plain HTTP is only for loopback and for hosts that the configuration names with http://", true, errdefs.ErrFailedPrecondition
	case errors.As(err, &alert):
		out.text, out.final, out.class = "refused the TLS connection: "+oneLine(alert.Error(), 200), true, errdefs.ErrFailedPrecondition
	case errors.As(err, &dns):
		out.text, out.final = "cannot be found: "+oneLine(dns.Err, 100), dns.IsNotFound
	case errors.As(err, &dial) && dial.Op == "dial":
		out.text = "cannot be reached: " + oneLine(dial.Err.Error(), 200)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		out.text = "closed the connection early"
	default:
		var u *url.Error // its text has the whole URL, which may be signed
		if errors.As(err, &u) {
			err = u.Err
		}
		text := err.Error()
		for _, prefix := range []string{"net/http: ", "HTTP/1.x transport connection broken: ", "net/http: ", "http: "} {
			text = strings.TrimPrefix(text, prefix)
		}
		out.text = "broke the connection: " + e.auth.redact(oneLine(text, 200))
	}
	return out
}

// stallError is the cause of a context that a watch on time or rate ended.
type stallError string

func (e stallError) Error() string { return string(e) }

// answerError is the error for a response with a status that was not wanted. It reads and closes the body.
func (e *endpoint) answerError(resp *http.Response) *Error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	resp.Body.Close()
	code, message := parseErrors(body)
	out := &Error{Host: e.host.name(), Status: resp.StatusCode, Code: code, class: classOfStatus(resp.StatusCode)}
	out.text = fmt.Sprintf("answered %d", resp.StatusCode)
	if s := http.StatusText(resp.StatusCode); s != "" {
		out.text += " " + s
	}
	if message != "" {
		out.text += " (" + e.auth.redact(message) + ")"
	}
	out.final = !passing(resp.StatusCode)
	out.after = retryAfter(resp.Header)
	return out
}

// passing says whether a status may be another one next time.
func passing(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

func classOfStatus(status int) error {
	switch status {
	case http.StatusUnauthorized:
		return errdefs.ErrUnauthenticated
	case http.StatusForbidden:
		return errdefs.ErrPermissionDenied
	case http.StatusNotFound:
		return errdefs.ErrNotFound
	case http.StatusConflict:
		return errdefs.ErrConflict
	case http.StatusTooManyRequests:
		return errdefs.ErrResourceExhausted
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong, http.StatusUnprocessableEntity:
		return errdefs.ErrInvalidArgument
	case http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return errdefs.ErrNotImplemented
	}
	if status >= 500 {
		return errdefs.ErrUnavailable
	}
	return errdefs.ErrUnknown
}

// parseErrors reads {"errors":[{"code":…,"message":…}]} of the distribution specification, or the forms that token
// servers use ({"error":…}, {"details":…}). What is not of these forms is not quoted: it is some proxy's page.
func parseErrors(body []byte) (code, message string) {
	var doc struct {
		Errors []struct {
			Code    string          `json:"code"`
			Message string          `json:"message"`
			Detail  json.RawMessage `json:"detail"`
		} `json:"errors"`
		Error       string `json:"error"`
		Description string `json:"error_description"`
		Details     string `json:"details"`
	}
	if len(body) > maxErrorBody || json.Unmarshal(body, &doc) != nil {
		return "", ""
	}
	if len(doc.Errors) > 0 {
		first := doc.Errors[0]
		code = oneLine(first.Code, 40)
		message = oneLine(first.Message, 200)
		if message == "" {
			message = strings.ToLower(strings.ReplaceAll(code, "_", " "))
		}
		return code, message
	}
	for _, s := range []string{doc.Description, doc.Details, doc.Error} {
		if s != "" {
			return oneLine(doc.Error, 40), oneLine(s, 200)
		}
	}
	return "", ""
}

// oneLine makes a text from outside fit for a terminal and a log: printable, on one line, at most limit bytes.
func oneLine(s string, limit int) string {
	if len(s) > 4*limit {
		s = s[:4*limit]
	}
	s = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))), " ")
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return s
}
