package packet

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// AppendJSON appends p in the JSON form, as one line; see "5. JSON form" of
// docs/PROTOCOL.md. p.Data must be a JSON value without line breaks. When it is
// empty, requests, one-way calls, messages and responses get "data":{}, as old
// programs read that key whatever happens, and other packets get no such key.
//
// p.More is not written, as messages are not split in the JSON form, and an empty
// token is left out. Text that is not UTF-8 is mended with U+FFFD.
func AppendJSON(dst []byte, p *Packet) []byte {
	return appendJSON(dst, p, "")
}

// appendJSON appends p, with emptyToken in place of a token that is not there.
func appendJSON(dst []byte, p *Packet, emptyToken string) []byte {
	dst = append(dst, '{')
	// Every member is followed by a comma; the last one becomes the brace.
	dst = appendJSONUint(dst, `"id":`, p.CallID)
	if p.Kind > KindRequest {
		dst = append(append(append(dst, `"kind":"`...), p.Kind.String()...), `",`...)
	}
	dst = appendJSONUint(dst, `"number":`, uint64(p.ActionNumber))
	dst = appendJSONText(dst, `"action":`, p.Action)
	dst = appendJSONFailure(dst, p)
	dst = appendJSONSeconds(dst, `"timeout":`, timeoutMicros(p.Timeout))
	dst = appendJSONUint(dst, `"credit":`, p.Credit)
	dst = appendJSONUint(dst, `"sequence":`, p.Sequence)
	dst = appendJSONUint(dst, `"acknowledged":`, p.Acknowledged)
	dst = appendJSONTrue(dst, `"sealed":`, p.Sealed)
	if p.Metadata.Len() > 0 {
		dst = appendJSONMetadata(dst, p.Metadata)
	}
	switch {
	case len(p.Data) > 0:
		dst = append(append(append(dst, `"data":`...), p.Data...), ',')
	case p.Kind.carriesMessage():
		dst = append(dst, `"data":{},`...)
	}
	if p.Created > 0 {
		dst = appendJSONSeconds(dst, `"packet-created":`, uint64(p.Created))
	}
	if p.Token != "" {
		dst = appendJSONText(dst, `"token":`, p.Token)
	} else {
		dst = append(dst, emptyToken...)
	}
	if last := len(dst) - 1; dst[last] == ',' {
		dst = dst[:last]
	}
	return append(dst, "}\n"...)
}

func appendJSONFailure(dst []byte, p *Packet) []byte {
	if p.Status != 0 {
		dst = append(append(append(dst, `"status":"`...), p.Status.String()...), `",`...)
	}
	dst = appendJSONText(dst, `"message":`, p.Message)
	dst = appendJSONText(dst, `"reason":`, p.Reason)
	dst = appendJSONSeconds(dst, `"retry-after":`, retryMicros(p.RetryAfter))
	dst = appendJSONTrue(dst, `"may-have-run":`, p.MayHaveRun)
	if len(p.Details) == 0 {
		return dst
	}
	dst = append(dst, `"details":[`...)
	for i, detail := range p.Details {
		if i > 0 {
			dst = append(dst, ',')
		}
		url := detail.GetTypeUrl()
		dst = appendQuoted(append(dst, `{"type":`...), url[strings.LastIndexByte(url, '/')+1:])
		dst = append(dst, `,"value":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, detail.GetValue())
		dst = append(dst, `"}`...)
	}
	return append(dst, "],"...)
}

type keyAndValue struct{ key, value string }

// appendJSONMetadata appends the metadata in the order of its keys, as an object
// has each of them once.
func appendJSONMetadata(dst []byte, metadata packetrpc.Metadata) []byte {
	pairs := make([]keyAndValue, 0, metadata.Len())
	for key, value := range metadata.All() {
		pairs = append(pairs, keyAndValue{key, value})
	}
	slices.SortStableFunc(pairs, func(a, b keyAndValue) int { return strings.Compare(a.key, b.key) })
	dst = append(dst, `"metadata":{`...)
	for len(pairs) > 0 {
		same := 1
		for same < len(pairs) && pairs[same].key == pairs[0].key {
			same++
		}
		dst = append(appendQuoted(dst, pairs[0].key), ':')
		dst = append(appendJSONValues(dst, pairs[:same]), ',')
		pairs = pairs[same:]
	}
	dst[len(dst)-1] = '}'
	return append(dst, ',')
}

func appendJSONValues(dst []byte, pairs []keyAndValue) []byte {
	if len(pairs) == 1 {
		return appendQuoted(dst, pairs[0].value)
	}
	dst = append(dst, '[')
	for _, pair := range pairs {
		dst = append(appendQuoted(dst, pair.value), ',')
	}
	dst[len(dst)-1] = ']'
	return dst
}

func appendJSONUint(dst []byte, key string, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return append(strconv.AppendUint(append(dst, key...), v, 10), ',')
}

func appendJSONTrue(dst []byte, key string, v bool) []byte {
	if !v {
		return dst
	}
	return append(append(dst, key...), "true,"...)
}

func appendJSONText(dst []byte, key, s string) []byte {
	if s == "" {
		return dst
	}
	return append(appendQuoted(append(dst, key...), s), ',')
}

// appendJSONSeconds appends microseconds as seconds with at most six digits
// after the point.
func appendJSONSeconds(dst []byte, key string, micros uint64) []byte {
	if micros == 0 {
		return dst
	}
	const perSecond = 1_000_000
	dst = strconv.AppendUint(append(dst, key...), micros/perSecond, 10)
	if fraction := micros % perSecond; fraction != 0 {
		dst = append(dst, '.')
		for digit := uint64(perSecond / 10); fraction != 0; digit /= 10 {
			dst = append(dst, byte('0'+fraction/digit))
			fraction %= digit
		}
	}
	return append(dst, ',')
}

// appendQuoted appends s as a JSON string.
func appendQuoted(dst []byte, s string) []byte {
	s = validText(s)
	dst = append(dst, '"')
	done := 0
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' {
			dst = appendEscaped(append(dst, s[done:i]...), c)
			done = i + 1
		}
	}
	return append(append(dst, s[done:]...), '"')
}

func appendEscaped(dst []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	default:
		return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
	}
}
