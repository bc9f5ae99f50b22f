package server

import (
	"crypto/subtle"
	"embed"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

//go:embed page
var pageFiles embed.FS

// Handler serves page, API and metrics.
func (s *Server) Handler() http.Handler {
	api := http.NewServeMux()
	s.routes(api)
	api.Handle("GET /metrics", s.metrics.handler())
	all := http.NewServeMux()
	files, err := fs.Sub(pageFiles, "page")
	if err != nil {
		panic(err) // it is embedded
	}
	page := http.FileServerFS(files)
	all.Handle("GET /page/", http.StripPrefix("/page/", notIndex(page)))
	all.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		if t := r.URL.Query().Get("token"); t != "" { // the browser keeps it
			http.SetCookie(w, &http.Cookie{Name: tokenCookie, Value: t, Path: "/", HttpOnly: true, Secure: r.TLS != nil,
				SameSite: http.SameSiteStrictMode, MaxAge: 90 * 24 * 3600})
			http.Redirect(w, r, "/", http.StatusSeeOther)
			return
		}
		w.Header().Set("Cache-Control", "no-cache")
		http.ServeFileFS(w, r, files, "index.html")
	})
	all.Handle("GET /api/v1/health", api)
	all.Handle("/api/", s.authorised(api))
	all.Handle("GET /metrics", s.authorised(api))
	all.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { s.refuse(w, errNotFound) })
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.refuse(w, &refusal{http.StatusForbidden, "the request comes from another site's page"})
	}))
	return s.guarded(origin.Handler(all))
}

// notIndex hides the list of a folder's files.
func notIndex(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "" || strings.HasSuffix(r.URL.Path, "/") {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Cache-Control", "no-cache")
		h.ServeHTTP(w, r)
	})
}

// What a page of this server may do: show and call what comes from here, and nothing else.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; " +
	"connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"

// guarded sets the headers of every answer and refuses requests that were sent to another name: a page elsewhere that
// has its own name point here (DNS rebinding).
func (s *Server) guarded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		head := w.Header()
		head.Set("Content-Security-Policy", contentPolicy)
		head.Set("X-Content-Type-Options", "nosniff")
		head.Set("Referrer-Policy", "no-referrer")
		head.Set("Cross-Origin-Resource-Policy", "same-origin")
		head.Set("Cross-Origin-Opener-Policy", "same-origin")
		head.Set("Cache-Control", "no-store")
		if !s.knownHost(r.Host) {
			s.refuse(w, &refusal{http.StatusForbidden, "this server goes by another name (psld serve --host)"})
			return
		}
		h.ServeHTTP(w, r)
	})
}

// knownHost tells whether a request's host is this server: an address, localhost, or a name that it was given.
func (s *Server) knownHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || slices.Contains(s.o.Hosts, host)
}

const tokenCookie = "psld_token"

// authorised wants the token, where there is one.
func (s *Server) authorised(h http.Handler) http.Handler {
	if s.o.Token == "" {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if c, err := r.Cookie(tokenCookie); !ok && err == nil {
			given = c.Value
		}
		if subtle.ConstantTimeCompare([]byte(given), []byte(s.o.Token)) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			s.refuse(w, &refusal{http.StatusUnauthorized, "this server wants a token: open the address that it printed"})
			return
		}
		h.ServeHTTP(w, r)
	})
}
