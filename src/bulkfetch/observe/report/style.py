"""The page's looks: light, dark, narrow, on paper."""

STYLE = """
:root{color-scheme:light dark;--bg:#fff;--fg:#1b2430;--soft:#566374;--line:#d9dfe6;--card:#f5f7f9;
--lane:#edf0f3;--request:#0b63b0;--kept:#a9cdec;--bad:#c02f1d;--slot:#a7b0bb;--connection:#e0a100;
--body:#0b63b0;--unpack:#17866a;--good:#17724f}
@media (prefers-color-scheme:dark){:root{--bg:#12171d;--fg:#e6ebf0;--soft:#a0adba;--line:#2d3742;
--card:#1a2129;--lane:#1e262f;--request:#62b0f5;--kept:#274d70;--bad:#ff8a76;--slot:#6b7785;
--connection:#e8b94a;--body:#62b0f5;--unpack:#4cc3a0;--good:#63d0a5}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.5rem 1.25rem 3rem;max-width:72rem;background:var(--bg);color:var(--fg);
font:1rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.5rem;line-height:1.25;margin:0}h2{font-size:1.15rem;margin:2.5rem 0 .25rem}
p{margin:.35rem 0;max-width:48rem}.soft,figcaption{color:var(--soft)}
.ends{font-weight:600}.good{color:var(--good)}.wrong{color:var(--bad)}
.warn{border-left:4px solid var(--connection);padding:.35rem .75rem;background:var(--card)}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:.75rem;
margin:1.25rem 0}
dl div{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.6rem .8rem}
dt{color:var(--soft);font-size:.85rem}dd{margin:0;font-size:1.2rem;font-weight:600;
font-variant-numeric:tabular-nums;line-height:1.3}dd small{font-size:.8rem;font-weight:400;
color:var(--soft);display:block}
figure{margin:.75rem 0}
.chart{position:relative;padding:.5rem 1.75rem 1.6rem 3.25rem}
.chart svg{display:block;width:100%;height:13rem;border-left:1px solid var(--line);
border-bottom:1px solid var(--line)}
.y{position:absolute;left:0;top:.5rem;bottom:1.6rem;width:3rem}
.y span{position:absolute;right:0;transform:translateY(50%);font-size:.75rem;color:var(--soft);
line-height:1;white-space:nowrap}
.x{position:relative;height:0}.x span{position:absolute;top:.3rem;transform:translateX(-50%);
font-size:.75rem;color:var(--soft);line-height:1;white-space:nowrap}
.lane{fill:var(--lane)}.request{fill:var(--request)}.kept{fill:var(--kept)}.bad{fill:var(--bad)}
.used{fill:var(--kept)}.bytes{fill:var(--body)}
.slot{fill:var(--slot)}.connection{fill:var(--connection)}.body{fill:var(--body)}
.unpack{fill:var(--unpack)}
.limit,.closed{stroke:var(--bad);stroke-width:1.5;stroke-dasharray:6 4;fill:none;
vector-effect:non-scaling-stroke}
.legend{display:flex;flex-wrap:wrap;gap:.25rem 1.1rem;padding:0;margin:.25rem 0;list-style:none;
font-size:.9rem}
.legend svg{width:.8rem;height:.8rem;margin-right:.4rem;vertical-align:-.05rem}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.92rem;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.35rem .9rem .35rem 0;border-bottom:1px solid var(--line);
vertical-align:top}th{color:var(--soft);font-weight:600}
.wide td,.wide th{overflow-wrap:break-word}.wide td:first-child{min-width:9rem}
.wide td:last-child:not(.n){min-width:14rem}
td.n,th.n{text-align:right;white-space:nowrap}
code{font:.9em ui-monospace,monospace}
summary{cursor:pointer;color:var(--soft);font-size:.9rem}
footer{margin-top:3rem;color:var(--soft);font-size:.85rem}
@media (max-width:40rem){.x span:nth-child(even){display:none}.chart{padding-left:2.6rem;
padding-right:1rem}.y{width:2.35rem}}
@media print{:root{--bg:#fff;--fg:#000;--soft:#444;--line:#bbb;--card:#fff;--lane:#eee;
--request:#0b63b0;--kept:#a9cdec;--bad:#c02f1d;--slot:#a7b0bb;--connection:#e0a100;--body:#0b63b0;
--unpack:#17866a;--good:#17724f}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
body{max-width:none;padding:0;font-size:10pt}figure,dl div,tr{break-inside:avoid}
h2{break-after:avoid}details:not([open]){display:none}}
"""
