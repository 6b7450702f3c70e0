import { ISignal, Signal } from '@lumino/signaling';

import { Countdown, readAnswer, split } from './countdown';
import type { ITranslate } from './words';
import * as words from './words';

/** How often (milliseconds) the server is asked, also while it does not answer. */
const ASK = 20_000;
const ASK_AGAIN = 5_000;
/** How often (milliseconds) the display is brought up to date. */
const SHOW = 1_000;
/** After how many requests without an answer the connection counts as lost. */
const PATIENCE = 2;
/** Statuses of a proxy or a Hub that has no server there (JupyterHub: 424, or 503). */
const NO_SERVER = [424, 502, 503, 504];

/** What Watch needs of its surroundings. */
export interface IOptions {
  trans: ITranslate;
  ask: () => Promise<Response>;
  askHub: () => Promise<Response | null>;
  warn: (text: string) => string;
  tell: (text: string) => string;
  fail: (text: string) => string;
  dismiss: (id: string) => void;
}

/** Follows the time left, and shows notices when there is something to say. */
export class Watch {
  constructor(private _options: IOptions) {}

  /** Emitted when what is shown has changed. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** Whether there is something to show. */
  get isKnown(): boolean {
    return this.isLost || this._countdown.left() !== null;
  }

  /** What the status bar shows; empty if the time is not known. */
  get short(): string {
    const left = this._countdown.left();
    return left === null ? '' : words.shortLeft(this._options.trans, split(left));
  }

  /** When the session ends, by the clock that the user sees and in the user's language. */
  get until(): string {
    const left = this._countdown.left();
    if (left === null) {
      return '';
    }
    const end = new Date(Date.now() + left * 1000);
    const time: Intl.DateTimeFormatOptions = { hour: '2-digit', minute: '2-digit' };
    const isToday = end.toDateString() === new Date().toDateString();
    return end.toLocaleString(
      undefined,
      isToday ? time : { weekday: 'short', day: 'numeric', month: 'short', ...time }
    );
  }

  get isSoon(): boolean {
    return this._countdown.isSoon();
  }

  get isLost(): boolean {
    return this._failures >= PATIENCE;
  }

  /** Begin to ask. */
  start(): void {
    document.addEventListener('visibilitychange', () => this._askIfVisible());
    window.addEventListener('online', () => this._askIfVisible());
    window.setInterval(() => {
      this._show();
      if (performance.now() >= this._askNext) {
        this._askIfVisible();
      }
    }, SHOW);
    this._askIfVisible();
  }

  /** Show the end and the reason, as a notice. */
  showDetails(): void {
    const { trans, tell, fail } = this._options;
    this._replace(
      this.isLost
        ? fail(words.ended(trans, this._ended ?? ''))
        : tell(words.details(trans, this.short, this.until, this._reason))
    );
  }

  private _askIfVisible(): void {
    if (!document.hidden && !this._asks && !this._silent) {
      this._asks = true;
      void this._ask().finally(() => {
        this._asks = false;
        this._askNext = performance.now() + (this._failures ? ASK_AGAIN : ASK);
        this._show();
      });
    }
  }

  private async _ask(): Promise<void> {
    let response: Response | null = null;
    try {
      response = await this._options.ask();
    } catch {
      // The network, or the server itself, does not answer.
    }
    if (response?.ok) {
      this._take(await response.json().catch(() => null));
    } else if (response === null || NO_SERVER.includes(response.status)) {
      await this._takeFailure();
    } else if (response.status === 404 && !this._wasThere) {
      this._silent = true; // no Hub, or a server without our extension
    }
  }

  private _take(data: unknown): void {
    const answer = readAnswer(data);
    if (answer === null) {
      return;
    }
    this._wasThere = true;
    if (this.isLost) {
      this._replace('');
    }
    this._failures = 0;
    this._ended = null;
    this._countdown.take(answer);
    const isNew = answer.reason !== this._reason;
    this._reason = answer.reason;
    if (isNew && answer.reason) {
      this._warn();
    }
  }

  /** Take note that the server does not answer; ask the Hub why. */
  private async _takeFailure(): Promise<void> {
    if (!this._wasThere) {
      return; // it may never have had our extension: JupyterLab itself says that it is lost
    }
    this._failures += 1;
    if (!this.isLost) {
      return;
    }
    let reason = '';
    try {
      const response = await this._options.askHub();
      reason = readAnswer(response && (await response.json()))?.reason ?? '';
    } catch {
      // Another origin, or the Hub does not answer: its page is all that can be offered.
    }
    if (reason !== this._ended) {
      this._ended = reason;
      this._replace(this._options.fail(words.ended(this._options.trans, reason)));
    }
  }

  private _show(): void {
    if (!this.isLost && this._countdown.isDue()) {
      this._warn();
    }
    const shown = `${this.isLost} ${this.short} ${this.until} ${this.isSoon}`;
    if (shown !== this._shown) {
      this._shown = shown;
      this._changed.emit();
    }
  }

  private _warn(): void {
    const { trans, warn, tell } = this._options;
    const { short, until, _reason: reason } = this;
    this._replace(until ? warn(words.warning(trans, short, until, reason)) : tell(reason));
  }

  /** Let a notice replace the one before. */
  private _replace(id: string): void {
    if (this._notice) {
      this._options.dismiss(this._notice);
    }
    this._notice = id;
  }

  private _changed = new Signal<this, void>(this);
  private _countdown = new Countdown(() => performance.now());
  private _reason = '';
  private _ended: string | null = null;
  private _notice = '';
  private _shown = '';
  private _failures = 0;
  private _asks = false;
  private _askNext = 0;
  private _wasThere = false;
  private _silent = false;
}
