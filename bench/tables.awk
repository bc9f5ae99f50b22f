# Parts of docs/results.md out of table.csv of psld eval: what is "short", "beside" or "order".
BEGIN {
  split(methods, method, ","); split(tasks, task, ",")
  for (i in method) listed[method[i]]
  listed["measurement"]
  # LPIPS of the poster (psld) and of table 1 of Chung et al. 2023 (DPS; random and box of dps as PSLD's table has them).
  published("psld", ".096 .167 .201 .221 -"); published("dps", ".212 .216 .214 .257 .242")
  published("mcg", ".286 .309 .520 .340 .702"); published("score-sde", ".612 .331 .563 .403 .657")
  published("ddrm", ".587 .204 .294 .332 -"); published("pnp-admm", ".692 .406 .353 .441 .405")
  published("tv", ".463 .322 .428 .507 .508")
}
function published(name, list,   v, i) {
  split(list, v, " ")
  for (i = 1; i <= 5; i++) if (v[i] != "-") paper[name, task[i]] = v[i]
}
NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i; next }
$column["lpips-alex"] != "" && $2 in listed {
  psnr[$2, $1] = $column["psnr_db"]; lpips[$2, $1] = $column["lpips-alex"]
  time[$2] += $column["seconds_per_picture"]; count[$2]++
  if ($2 == "measurement") next
  if (!($1 in high) || psnr[$2, $1] > high[$1]) high[$1] = psnr[$2, $1]
  if (!($1 in low) || lpips[$2, $1] < low[$1]) low[$1] = lpips[$2, $1]
}
function bold(text, best) { return best ? "**" text "**" : text }
function heads(   i, text) { for (i = 1; i in task; i++) text = text " " task[i] " |"; return text }
# order lists methods by their numbers in v, the lowest first; only restricts it to those that the paper has.
function order(v, t, only,   i, k, text, done, best, n) {
  for (n = 0; ; n++) {
    best = ""
    for (i = 1; i in method; i++) {
      k = method[i]
      if (((k, t) in v) && !(k in done) && (!only || ((k, t) in paper)) && (best == "" || v[k, t] + 0 < v[best, t] + 0))
        best = k
    }
    if (best == "") return text
    done[best]; text = text (n ? ", " : "") best
  }
}
END {
  if (what == "short") {
    print "| method |" heads() " s |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for (i = 0; i == 0 || i in method; i++) {
      m = i ? method[i] : "measurement"
      line = "| " m " |"
      for (k = 1; k in task; k++) {
        t = task[k]
        if ((m, t) in psnr)
          line = line " " bold(sprintf("%.2f", psnr[m, t]), i && psnr[m, t] == high[t]) " / " \
            bold(sprintf("%.3f", lpips[m, t]), i && lpips[m, t] == low[t]) " |"
        else line = line " n/a |"
      }
      print line (i ? sprintf(" %.2f |", time[m] / count[m]) : " |")
    }
  }
  if (what == "beside") {
    print "| method |" heads() "\n| --- | ---: | ---: | ---: | ---: | ---: |"
    for (i = 1; i in method; i++) {
      m = method[i]; line = "| " m " |"
      for (k = 1; k in task; k++) {
        t = task[k]
        line = line " " (((m, t) in paper) ? paper[m, t] : "-") " \\| " \
          (((m, t) in lpips) ? sprintf("%.3f", lpips[m, t]) : "n/a") " |"
      }
      print line
    }
  }
  if (what == "order") {
    print "| task | by LPIPS, best first: paper | ours, the same methods | ours, all |\n| --- | --- | --- | --- |"
    for (k = 1; k in task; k++)
      print "| " task[k] " | " order(paper, task[k], 1) " | " order(lpips, task[k], 1) " | " order(lpips, task[k], 0) " |"
  }
}
