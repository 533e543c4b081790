// Baum and Welch in JavaScript: node hmm.js, one JSON problem a line in, one answer a line out.
"use strict";

function filled(n, value) { return Array.from({ length: n }, () => value); }
function sum(a) { return a.reduce((s, v) => s + v, 0); }
function share(counts, old) { const s = sum(counts); return s > 0 ? counts.map((c) => c / s) : old; }

function forward({ startprob, transmat, emissionprob }, x) {
  const K = startprob.length, alpha = [], scales = [];
  for (let t = 0; t < x.length; t++) {
    const a = startprob.map((p, j) => {
      let before = p;
      if (t > 0) { before = 0; for (let i = 0; i < K; i++) before += alpha[t - 1][i] * transmat[i][j]; }
      return before * emissionprob[j][x[t]];
    });
    scales.push(sum(a));
    alpha.push(a.map((v) => v / scales[t]));
  }
  return { alpha, scales };
}

function iterate(p, sequences) {
  const K = p.startprob.length, V = p.emissionprob[0].length;
  const first = filled(K, 0), steps = p.transmat.map(() => filled(K, 0));
  const shown = p.emissionprob.map(() => filled(V, 0));
  for (const x of sequences) {
    const { alpha, scales } = forward(p, x);
    let beta = filled(K, 1);
    for (let t = x.length - 1; t >= 0; t--) {
      for (let i = 0; i < K; i++) {
        shown[i][x[t]] += alpha[t][i] * beta[i];
        if (t === 0) first[i] += alpha[t][i] * beta[i];
      }
      if (t === 0) break;
      const ahead = beta.map((b, j) => (p.emissionprob[j][x[t]] * b) / scales[t]);
      for (let i = 0; i < K; i++)
        for (let j = 0; j < K; j++) steps[i][j] += alpha[t - 1][i] * p.transmat[i][j] * ahead[j];
      beta = beta.map((_, i) => sum(ahead.map((a, j) => p.transmat[i][j] * a)));
    }
  }
  return {
    startprob: share(first, p.startprob),
    transmat: steps.map((row, i) => share(row, p.transmat[i])),
    emissionprob: shown.map((row, i) => share(row, p.emissionprob[i])),
  };
}

require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const { id, model, data, start, iterations } = JSON.parse(line);
  if (model !== "categorical_hmm") {
    console.log(JSON.stringify({ id, error: `no model ${model} here` }));
    return;
  }
  let parameters = start;
  for (let n = 0; n < iterations; n++) parameters = iterate(parameters, data);
  let logLikelihood = 0;
  for (const x of data) logLikelihood += sum(forward(parameters, x).scales.map(Math.log));
  console.log(JSON.stringify({ id, parameters, log_likelihood: logLikelihood }));
});
